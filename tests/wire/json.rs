//! JSON: what is taken, and what is refused beyond serde_json's own refusals.
use runwire::limits::JSON_VALUES_MAX;
use runwire::wire::json::{parse, whole};
use serde_json::{Value, json};

fn refused(bytes: &[u8]) -> String {
    parse(bytes).expect_err(&bytes.escape_ascii().to_string()).to_string()
}

#[test]
fn good_json_is_what_serde_makes_of_it() {
    for text in [
        "null",
        " [1, -2, 3.5, 1e3, true, false, \"a\\n\\ud83e\\udd80\"] ",
        r#"{"a":{"a":{"b":[]},"b":{}},"":18446744073709551615,"c":-9223372036854775808}"#,
        "123456789012345678901234567890",
    ] {
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
    }
    let nested = format!("{}{}", "[".repeat(127), "]".repeat(127));
    assert!(parse(nested.as_bytes()).is_ok());
}

#[test]
fn a_whole_number_may_be_written_as_a_float() {
    for (text, expected) in [
        ("60", Some(60)),
        ("60.0", Some(60)),
        ("6e1", Some(60)),
        ("0", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("1e19", Some(10_000_000_000_000_000_000)),
        ("18446744073709551616", None),
        ("60.5", None),
        ("-1", None),
        ("-1.0", None),
        ("\"60\"", None),
        ("true", None),
        ("null", None),
    ] {
        assert_eq!(whole(&parse(text.as_bytes()).unwrap()), expected, "{text}");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for bytes in [
        &b""[..],
        b" ",
        b"{",
        b"[1,]",
        b"{\"a\":1,}",
        b"{a:1}",
        b"'a'",
        b"NaN",
        b"01",
        b"1.",
        b"+1",
        b"\"\x01\"",
        b"\"\n\"",
        b"1 2",
        b"{}x",
        b"{}\0",
        b"\xef\xbb\xbf{}",
        b"// x\n1",
    ] {
        refused(bytes);
    }
}

#[test]
fn traps_are_refused() {
    assert!(refused(b"\"\xff\"").contains("UTF-8"));
    for text in [
        r#""\ud800""#,
        r#""\ud800x""#,
        r#""\ud800\u0041""#,
        r#""\udc00""#,
        r#"{"\udfff":1}"#,
        "1e999",
        "-1e999",
    ] {
        refused(text.as_bytes());
    }
    assert!(refused(&[b'['; 1_000_000]).contains("recursion"));
    assert!(refused("{\"a\":".repeat(200).as_bytes()).contains("recursion"));
}

#[test]
fn a_key_twice_is_refused_wherever_it_is() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":2,"\u0061":3}"#,
        r#"[[{"x":{"a":null,"a":null}}]]"#,
        r#"{"":1,"":2}"#,
    ] {
        assert!(refused(text.as_bytes()).contains("duplicate key"), "{text}");
    }
    let long = format!("{{\"{0}\":1,\"{0}\":1}}", "k".repeat(100_000));
    assert!(refused(long.as_bytes()).len() < 200);
}

#[test]
fn the_number_of_values_is_bounded() {
    let list = |items: usize| format!("[{}0]", "0,".repeat(items - 1));
    assert_eq!(
        parse(list(JSON_VALUES_MAX - 1).as_bytes()),
        Ok(json!(vec![0; JSON_VALUES_MAX - 1]))
    );
    assert!(refused(list(JSON_VALUES_MAX).as_bytes()).contains("values"));
    let objects = format!("[{}0]", "{\"a\":[]},".repeat(JSON_VALUES_MAX / 2));
    assert!(refused(objects.as_bytes()).contains("values"));
}
