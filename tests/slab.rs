//! The slab against a map: every tenant is found by its own key and by no other.
use runwire::id::{ConnId, Key};
use runwire::slab::Slab;
use std::collections::BTreeMap;

#[test]
fn a_stale_id_finds_nothing() {
    let mut slab: Slab<ConnId, &str> = Slab::new(1);
    let first = slab.insert("first").expect("room for one");
    assert_eq!(slab.remove(first), Some("first"));
    let second = slab.insert("second").expect("room again");
    assert_eq!(Key::from(first).slot, Key::from(second).slot);
    assert_eq!(slab.get(first), None);
    assert_eq!(slab.get_mut(first), None);
    assert_eq!(slab.remove(first), None);
    assert_eq!(slab.get(second), Some(&"second"));
    let place = Key::from(second).slot;
    assert_eq!((slab.key_at(place), slab.key_at(place + 1)), (Some(second), None));
    slab.remove(second);
    assert_eq!(slab.key_at(place), None);
}

#[test]
fn a_full_slab_says_no_until_somebody_leaves() {
    let mut slab: Slab<ConnId, u32> = Slab::new(2);
    let first = slab.insert(1).expect("room for two");
    slab.insert(2).expect("room for two");
    assert!(slab.is_full() && slab.insert(3).is_none());
    slab.remove(first);
    assert!(!slab.is_full() && slab.insert(3).is_some());
    assert_eq!(slab.len(), 2);
}

#[test]
fn the_slab_agrees_with_a_map() {
    let mut slab: Slab<ConnId, u64> = Slab::new(50);
    let mut model: BTreeMap<ConnId, u64> = BTreeMap::new();
    let mut gone: Vec<ConnId> = Vec::new();
    let mut state = 1_u64;
    for step in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let dice = (state >> 33) as usize;
        if dice.is_multiple_of(2) || model.is_empty() {
            match slab.insert(step) {
                Some(id) => assert_eq!(model.insert(id, step), None, "{id:?} was given twice"),
                None => assert_eq!(model.len(), 50),
            }
        } else {
            let id = *model.keys().nth(dice / 2 % model.len()).expect("it is not empty");
            assert_eq!(slab.remove(id), model.remove(&id));
            gone.push(id);
        }
        assert_eq!((slab.len(), slab.is_empty()), (model.len(), model.is_empty()));
    }
    assert!(slab.iter().map(|(id, value)| (id, *value)).eq(model.iter().map(|(id, v)| (*id, *v))));
    assert!(gone.iter().all(|id| slab.get(*id).is_none()));
}
