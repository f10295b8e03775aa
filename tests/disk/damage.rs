//! A file that holds something else than was written to it: refused where that is seen at the start,
//! and told of where it is found later.
use crate::served::Place;
use crate::served::model::Model;
use crate::served::wire::Stream;
use crate::{assert_sound, empty_log, finished_run, place_of};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;

const PAGE: u64 = 4096;

/// Writes nonsense over a part of the file.
fn spoil(place: &Place, at: u64, count: usize) {
    let file = OpenOptions::new().write(true).open(place.file()).unwrap();
    file.write_all_at(&vec![0xa5; count], at).unwrap();
}

type Spoil<'a> = &'a dyn Fn(&Place);

fn copy_of(place: &Place) -> Place {
    let copy = Place::new();
    fs::copy(place.file(), copy.file()).unwrap();
    copy
}

#[test]
fn a_damaged_file_is_refused_by_name_with_what_to_do_about_it() {
    let (sound, _) = place_of(40);
    empty_log(&sound);
    let bytes = fs::metadata(sound.file()).unwrap().len();
    let spoils: [(&str, Spoil<'_>); 7] = [
        ("its header", &|place| spoil(place, 0, 100)),
        ("its first page behind that", &|place| spoil(place, 100, 2000)),
        ("its second and third page", &|place| spoil(place, PAGE, 2 * PAGE as usize)),
        ("pages in its middle", &|place| spoil(place, bytes / 2 / PAGE * PAGE, 4 * PAGE as usize)),
        ("its last page", &|place| spoil(place, bytes - PAGE, PAGE as usize)),
        ("its end", &|place| cut(place, bytes / 2)),
        ("all but a few bytes", &|place| cut(place, 50)),
    ];
    for (what, spoil) in spoils {
        let place = copy_of(&sound);
        spoil(&place);
        let before = fs::read(place.file()).unwrap();
        let (code, said) = place.spawn(&[]).fail();
        assert_eq!(code, Some(1), "{what}: {said}");
        for word in ["runs.db", "damaged", "runwire db check", "runwire db export"] {
            assert!(said.contains(word), "{what}: `{word}` is missing in: {said}");
        }
        assert!(!said.contains("panicked"), "{what}: {said}");
        assert_eq!(fs::read(place.file()).unwrap(), before, "{what}: it was changed");
    }
}

fn cut(place: &Place, len: u64) {
    OpenOptions::new().write(true).open(place.file()).unwrap().set_len(len).unwrap();
}

#[test]
fn damage_that_is_found_later_is_told_to_who_finds_it_and_to_nobody_else() {
    let (place, model) = (Place::new(), Model::start());
    let server = place.start(&model.flags());
    let first = finished_run(&server, "words 3");
    // Long enough that not every page is looked at when the server starts.
    let long: Vec<String> = (0..14).map(|_| server.run("words 2500 size 400")).collect();
    for run in &long {
        assert!(server.frames(run).last().unwrap().is_terminal());
    }
    let last = finished_run(&server, "words 4");
    drop(server);
    empty_log(&place);
    assert!(fs::metadata(place.file()).unwrap().len() > 16 * 1024 * 1024);
    let spoiled = &long[5];
    spoil_events_of(&place, spoiled);

    let server = place.start(&[]);
    for sound in [&first, &last, &long[9]] {
        assert!(server.frames(sound).last().unwrap().is_terminal());
    }
    let mut stream = Stream::open(server.addr, spoiled, None).unwrap().unwrap();
    assert!(stream.rest().is_err(), "a stream whose rest is gone must not end as if it were whole");
    assert_eq!(server.get("/health").status, 200);
    let new = finished_run(&server, "seq 5");
    assert_eq!(server.get(&format!("/v1/runs/{new}")).json()["status"], "completed");
    assert_eq!(server.get("/v1/runs").json()["data"].as_array().unwrap().len(), 17);
}

/// Fills pages that hold what this run has said with nonsense.
fn spoil_events_of(place: &Place, run: &str) {
    let mark = format!("\"run_id\":\"{run}\"");
    let bytes = fs::read(place.file()).unwrap();
    let pages = bytes.chunks(PAGE as usize).enumerate().filter(|(_, page)| {
        page.windows(mark.len()).filter(|it| *it == mark.as_bytes()).count() > 5
    });
    let pages: Vec<u64> = pages.map(|(index, _)| index as u64).collect();
    assert!(pages.len() > 10, "{} pages", pages.len());
    for page in &pages[5..8] {
        spoil(place, page * PAGE, PAGE as usize);
    }
}

#[test]
fn a_run_whose_page_is_damaged_is_a_clear_500_and_the_rest_works() {
    let place = Place::new();
    let server = place.start(&[]);
    let spoiled = finished_run(&server, "seq 6");
    let sound = finished_run(&server, "seq 7");
    drop(server);
    let db = rusqlite::Connection::open(place.file()).unwrap();
    // What no version of this program would have written, on a page that is whole.
    db.execute("UPDATE runs SET lineage = 'nonsense' WHERE id = ?1", [&spoiled]).unwrap();
    drop(db);
    let server = place.start(&[]);
    for path in ["", "/events"] {
        let reply = server.get(&format!("/v1/runs/{spoiled}{path}"));
        assert_eq!(reply.status, 500, "{reply:?}");
        assert!(reply.json()["error"]["message"].as_str().unwrap().len() > 20);
    }
    assert!(server.frames(&sound).last().unwrap().is_terminal());
    finished_run(&server, "seq 8");
    drop(server);
    let _ = File::open(place.file()).unwrap();
    assert_sound(&place);
}
