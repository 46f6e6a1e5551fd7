//! Templates that want too much, nest too deep or are nonsense: an error each time, never a panic or an overflow.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first surprise")]

use proptest::prelude::*;
use template::{ErrorKind, Limits, NoFunctions, Options, Template, Value};

fn limits() -> Options {
    Options { limits: Limits { steps: 2_000_000, bytes: 32 << 20 }, ..Options::default() }
}

/// Whether the text may not even parse: its error, and else the error of running it.
fn error_of(text: &str) -> template::Error {
    match Template::parse("t", text, &NoFunctions) {
        Err(error) => error,
        Ok(template) => template.render(&Value::Nil, &limits()).expect_err(text),
    }
}

#[test]
fn what_wants_too_much_runs_out_of_fuel() {
    for text in [
        "{{ repeat 1000000000 \"x\" }}",
        "{{ range 1000000000000 }}{{ end }}",
        "{{ range until 1000000000 }}{{ end }}",
        "{{ untilStep 0 9000000000000000000 1 }}",
        "{{ seq 1000000000 }}",
        "{{ $x := \"ab\" }}{{ range 64 }}{{ $x = print $x $x }}{{ end }}",
        "{{ $x := list 1 }}{{ range 64 }}{{ $x = concat $x $x }}{{ end }}",
        "{{ $x := list 1 }}{{ range 60 }}{{ $x = list $x $x }}{{ end }}{{ $x }}",
        "{{ $x := list 1 }}{{ range 60 }}{{ $x = list $x $x }}{{ end }}{{ toJson $x }}",
        "{{ $x := list 1 }}{{ range 60 }}{{ $x = list $x $x }}{{ end }}{{ deepCopy $x }}",
        "{{ $x := list 1 }}{{ range 60 }}{{ $x = list $x $x }}{{ end }}{{ deepEqual $x (deepCopy $x) }}",
        "{{ $x := \"a\" }}{{ range 64 }}{{ $x = replace \"a\" \"aaaa\" $x }}{{ end }}",
        "{{ $x := \"a\" }}{{ range 64 }}{{ $x = replace \"\" \"aaaa\" $x }}{{ end }}",
        "{{ $x := \"a\\n\" }}{{ range 64 }}{{ $x = indent 100000 (print $x $x) }}{{ end }}",
        "{{ $x := \"a\" }}{{ range 64 }}{{ $x = regexReplaceAll \"a\" $x \"${0}${0}${0}\" }}{{ end }}",
        "{{ range 100000 }}{{ printf \"%999999d\" 1 }}{{ end }}",
        "{{ range 100000 }}{{ printf \"%.999999f\" 1.0 }}{{ end }}",
        "{{ range 100000 }}{{ printf \"%.999999e%.999999U%.999999g%#.999999x\" 1.0 1 1.0 1.0 }}{{ end }}",
        "{{ printf \"%*d\" 1000000 1 | repeat 100000 }}",
        "{{ $x := repeat 1000000 \"a \" }}{{ range 100000 }}{{ $_ := upper $x }}{{ end }}",
        "{{ $x := repeat 1000000 \"a \" }}{{ range 100000 }}{{ $_ := splitList \" \" $x }}{{ end }}",
        "{{ $x := repeat 1000000 \"a \" }}{{ range 100000 }}{{ $_ := regexMatch \"b\" $x }}{{ end }}",
        "{{ $x := repeat 1000000 \"a \" }}{{ range 100000 }}{{ $_ := contains \"b\" $x }}{{ end }}",
        "{{ $x := repeat 1000000 \"a \" }}{{ range 100000 }}{{ $_ := sha512sum $x }}{{ end }}",
        "{{ $x := repeat 1000000 \"a \" }}{{ range 100000 }}{{ $_ := b64enc $x }}{{ end }}",
        "{{ range 100000 }}{{ $_ := bcrypt \"x\" }}{{ end }}",
        "{{ range 100000 }}{{ $_ := derivePassword 1 \"pin\" \"a\" \"b\" \"c\" }}{{ end }}",
        "{{ $d := dict }}{{ range $i := until 1000000 }}{{ $_ := set $d (toString $i) $i }}{{ end }}",
        "{{ $x := repeat 1000000 \"a\" }}{{ regexReplaceAll \"a\" $x (repeat 1000000 \"b\") }}",
        "{{ $x := repeat 1000000 \"a\" }}{{ regexReplaceAll \"a+\" $x (repeat 100000 \"$0\") }}",
        "{{ $x := repeat 1000000 \"a\" }}{{ regexReplaceAllLiteral \"a\" $x (repeat 1000000 \"b\") }}",
        "{{ $x := repeat 1000000 \"a\" }}{{ $_ := splitList \"\" $x }}",
        "{{ $x := repeat 1000000 \"a\" }}{{ $_ := split \"a\" $x }}",
        "{{ $x := repeat 1000000 \"a\" }}{{ $_ := regexSplit \"a\" $x -1 }}",
        "{{ $x := repeat 1000000 \"a\" }}{{ $_ := regexFindAll \"a\" $x -1 }}",
        "{{ $x := repeat 1000000 \"aA\" }}{{ $_ := snakecase $x }}",
        "{{ $x := repeat 6000000 \"<\" }}{{ $_ := js $x }}",
        "{{ $x := repeat 8000000 \"<\" }}{{ $_ := toJson $x }}",
        "{{ $x := repeat 8000000 \"<\" }}{{ $_ := quote $x $x }}",
        "{{ $x := repeat 8000000 \"<\" }}{{ $_ := printf \"% #x\" $x }}",
        "{{ randAlphaNum 1000000000000 }}",
        "{{ randBytes 1000000000000 }}",
    ] {
        let error = error_of(text);
        let known = error.kind == ErrorKind::Exhausted || error.message.contains("no source of random bytes");
        assert!(known, "{text}: {error}");
    }
}

#[test]
fn what_nests_too_deep_is_refused() {
    let nested = |open: &str, inner: &str, close: &str| {
        let count = 20_000;
        format!("{}{inner}{}", open.repeat(count), close.repeat(count))
    };
    for text in [
        format!("{{{{ {} }}}}", nested("(", "1", ")")),
        nested("{{ if true }}", "x", "{{ end }}"),
        nested("{{ range 1 }}", "x", "{{ end }}"),
        format!("{{{{ if 1 }}}}{}{{{{ end }}}}", "{{ else if 1 }}x".repeat(20_000)),
        "{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}".into(),
        "{{ define \"r\" }}{{ range 1 }}{{ with 1 }}{{ if (and (or (not (not true)))) }}{{ template \"r\" (list .) }}\
         {{ end }}{{ end }}{{ end }}{{ end }}{{ template \"r\" }}"
            .into(),
        "{{ template \"t\" }}".into(),
        "{{ $x := list }}{{ range 10000 }}{{ $x = list $x }}{{ end }}{{ $x }}".into(),
        "{{ $x := list }}{{ range 10000 }}{{ $x = list $x }}{{ end }}{{ toJson $x }}".into(),
        "{{ $x := list }}{{ range 10000 }}{{ $x = list $x }}{{ end }}{{ deepCopy $x }}".into(),
        "{{ $x := list }}{{ range 10000 }}{{ $x = list $x }}{{ end }}{{ deepEqual $x (list $x) }}".into(),
        "{{ $x := list }}{{ range 10000 }}{{ $x = list $x }}{{ end }}{{ set (dict) \"a\" $x }}".into(),
        "{{ $x := dict }}{{ range 10000 }}{{ $x = dict \"a\" $x }}{{ end }}{{ merge $x (deepCopy $x) }}".into(),
        "{{ $d := dict }}{{ set $d \"self\" $d }}".into(),
        "{{ $d := dict }}{{ set $d \"self\" (list (dict \"a\" $d)) }}".into(),
        "{{ $d := dict }}{{ merge $d (dict \"a\" (list $d)) }}".into(),
        format!("{{{{ mustFromJson (repeat 10000 \"[\") }}}}{}", ""),
        "{{ mustRegexMatch (print (repeat 5000 \"(\") (repeat 5000 \")\")) \"\" }}".into(),
        "{{ mustRegexMatch (repeat 200 \"(a{1000}\") \"\" }}".into(),
        "{{ mustRegexMatch \"((a{100}){100}){100}\" \"\" }}".into(),
    ] {
        let error = error_of(&text);
        assert!(!error.message.is_empty());
    }
}

#[test]
fn what_nests_deep_and_is_never_looked_at_is_freed_without_harm() {
    let text = "{{ $x := list }}{{ range 300000 }}{{ $x = list $x }}{{ end }}ok";
    let template = Template::parse("t", text, &NoFunctions).unwrap();
    assert_eq!(template.render(&Value::Nil, &Options::default()).unwrap(), b"ok");
    let text = "{{ $x := dict }}{{ range 300000 }}{{ $x = dict \"a\" $x }}{{ end }}ok";
    let template = Template::parse("t", text, &NoFunctions).unwrap();
    assert_eq!(template.render(&Value::Nil, &Options::default()).unwrap(), b"ok");
}

#[test]
fn numbers_at_the_edge_are_answered() {
    let big = ["9223372036854775807", "-9223372036854775808", "0", "-1", "1e308", "-1e-308", "\"\"", "nil", "(list)"];
    let one = [
        "add1",
        "int",
        "ceil",
        "floor",
        "until",
        "seq",
        "toDecimal",
        "duration",
        "durationRound",
        "ago",
        "htmlDate",
        "randInt 0",
        "trunc",
        "repeat",
        "indent",
        "printf \"%c%U%x%e%*d\"",
        "date \"2006\"",
        "round 1.5",
        "substr 0 1",
        "abbrev",
        "abbrevboth 9",
        "chunk",
        "untilStep 0 5",
        "index (list 1 2)",
        "slice (list 1 2)",
        "len",
        "first",
        "dateModify \"99999999h\"",
        "plural \"a\" \"b\"",
        "wrap",
        "splitn \",\"",
        "regexSplit \",\" \"a,b\"",
        "not",
        "fromJson",
        "semver",
        "urlParse",
        "toDate \"2006-01-02\"",
        "html",
        "js",
        "quote",
        "print",
        "kindOf",
        "mod 5",
        "div -9223372036854775808",
        "sub 0",
        "mul 9223372036854775807",
        "divf 1",
        "mulf 1e308",
        "maxf 1",
        "range",
    ];
    for function in one {
        for value in big {
            for extra in ["", " \"text\"", " 3 \"text\"", " -1"] {
                let text = if function == "range" {
                    format!("{{{{ range {value} }}}}{{{{ end }}}}")
                } else {
                    format!("{{{{ {function} {value}{extra} }}}}")
                };
                if let Ok(template) = Template::parse("t", &text, &NoFunctions) {
                    let small = Options { limits: Limits { steps: 5_000, bytes: 1 << 20 }, ..Options::default() };
                    let _ = template.render(&Value::Nil, &small);
                }
            }
        }
    }
}

/// Pieces that make sense together more often than letters do.
fn piece() -> impl Strategy<Value = String> {
    let words = vec![
        "{{",
        "}}",
        "{{- ",
        " -}}",
        " ",
        "\n",
        "text",
        "if ",
        "else",
        "end",
        "range ",
        "with ",
        "define \"x\"",
        "template \"x\" .",
        "block \"y\" .",
        "break",
        "continue",
        "$x",
        "$",
        " := ",
        " = ",
        ", ",
        "|",
        "(",
        ")",
        ".",
        ".a",
        ".a.b",
        "$.a",
        "nil",
        "true",
        "1",
        "-7",
        "2.5",
        "1e9",
        "'c'",
        "\"s\"",
        "`r`",
        "0x1f",
        "2i",
        "list",
        "dict",
        "set",
        "print",
        "printf \"%v %[2]*d %+q\"",
        "index",
        "len",
        "slice",
        "upper",
        "until",
        "default",
        "join",
        "merge",
        "toJson",
        "fromJson",
        "regexFind",
        "semver",
        "date",
        "now",
        "add",
        "divf",
        "not",
        "and",
        "or",
        "eq",
        "lt",
        "call",
        "html",
        "split",
        "trunc",
        "substr",
        "nindent 3",
        "ternary",
        "dig",
        "pick",
        "keys",
        "chunk",
        "uniq",
        "sortAlpha",
        "tuple",
        "urlParse",
        "title",
        "camelcase",
        "/*",
        "*/",
        "{{/* c */}}",
        "é",
    ];
    prop_oneof![9 => proptest::sample::select(words).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)]
}

fn data() -> Value {
    Value::dict([
        ("a", Value::dict([("b", Value::texts(["x", "y"])), ("c", 5.into())])),
        ("l", Value::list(vec![1.into(), "two".into(), Value::Nil])),
    ])
}

fn run(text: &[u8]) {
    if let Ok(template) = Template::parse("t", text, &NoFunctions) {
        let small = Options { limits: Limits { steps: 20_000, bytes: 1 << 20 }, ..Options::default() };
        let _ = template.render(&data(), &small);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 1000 } else { 100_000 }))]

    #[test]
    fn arbitrary_bytes_never_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        run(&text);
    }

    #[test]
    fn arbitrary_actions_never_panic(pieces in proptest::collection::vec(piece(), 0..40)) {
        run(pieces.concat().as_bytes());
    }

    #[test]
    fn one_action_of_anything_never_panics(pieces in proptest::collection::vec(piece(), 1..8)) {
        run(format!("a{{{{ {} }}}}b", pieces.join(" ").replace("{{", "").replace("}}", "")).as_bytes());
    }

    #[test]
    fn any_format_never_panics(format in "[%0-9a-zA-Z \\[\\]*.#+é-]{0,20}", n in any::<i64>(), f in any::<f64>()) {
        let template = Template::parse("t", "{{ printf .format .n .f \"text\" }}", &NoFunctions).unwrap();
        let data = Value::dict([("format", format.into()), ("n", Value::int(n)), ("f", Value::float(f))]);
        let small = Options { limits: Limits { steps: 20_000, bytes: 1 << 20 }, ..Options::default() };
        let _ = template.render(&data, &small);
    }

    #[test]
    fn any_pattern_never_panics(pattern in "[a-c()\\[\\]{}*+?|^$.,:<>=!PQEiUdwsbpx0-9\\\\é-]{0,16}", text in ".{0,20}") {
        let template = Template::parse("t", "{{ regexMatch .p .t }}{{ regexReplaceAll .p .t .p }}", &NoFunctions).unwrap();
        let data = Value::dict([("p", pattern), ("t", text)].map(|(k, v)| (k, Value::from(v))));
        let _ = template.render(&data, &limits());
    }
}
