//! What the recorded cases cannot say: errors with their places, data that is asked for lazily, and where we differ
//! from Go on purpose.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use template::{
    Buffers, Context, Ending, Error, ErrorKind, Failure, Host, Key, List, Map, Mapping, MissingKey, NoFunctions,
    Nowhere, Object, Options, Param, Record, Sequence, Signature, Template, Type, Value, ast, render,
};

fn failed(text: &str, data: &Value) -> Error {
    let options = Options { missing_key: MissingKey::Error, ..Options::default() };
    match Template::parse("etc/motd.ww", text, &NoFunctions) {
        Ok(template) => template.render(data, &options).expect_err(text),
        Err(error) => error,
    }
}

fn node() -> Value {
    let device = Record::new("node.NetDev").pointer().with("Ipaddr", "10.0.0.1").with("Hwaddr", "02:00");
    let map = Map::by_text(Type::Any, [("default", Value::from(device))]);
    Record::new("node.Node").pointer().with("Id", "n1").with("NetDevs", map).into()
}

#[test]
fn an_error_quotes_only_so_much() {
    let text = r#"{{ mustRegexMatch (repeat 100000 "é(") "x" }}"#;
    let error = template::render("t", text, &Value::Nil).unwrap_err().to_string();
    assert!(error.contains("expression nests too deeply: `é(é("), "{error}");
    assert!(error.ends_with("...") && error.len() < 4300, "{} bytes", error.len());
}

#[test]
fn an_error_names_file_line_column_expression_and_the_nearest_name() {
    for (text, wanted) in [
        (
            "a\nb {{ .Idd }}",
            "etc/motd.ww:2:6: at <.Idd>: can't evaluate field Idd in type *node.Node; did you mean \"Id\"?",
        ),
        (
            "{{ range .NetDevs }}\n  {{ .IpAdr }}{{ end }}",
            "etc/motd.ww:2:6: at <.IpAdr>: can't evaluate field IpAdr in type *node.NetDev; did you mean \"Ipaddr\"?",
        ),
        (
            "{{ .NetDevs.defualt.Ipaddr }}",
            "etc/motd.ww:1:4: at <.NetDevs.defualt.Ipaddr>: map has no entry for key \"defualt\"; did you mean \"default\"?",
        ),
        ("\n\n{{ uper .Id }}", "etc/motd.ww:3:4: at <uper>: function \"uper\" not defined; did you mean \"upper\"?"),
        (
            "{{ $host := 1 }}{{ $hots }}",
            "etc/motd.ww:1:20: at <$hots>: undefined variable \"$hots\"; did you mean \"$host\"?",
        ),
        (
            "{{ define \"lines\" }}{{ end }}x {{ template \"line\" }}",
            "etc/motd.ww:1:35: at <template \"line\">: template \"line\" not defined; did you mean \"lines\"?",
        ),
        (
            "{{ define \"d\" }}\n{{ fail \"no disk\" }}{{ end }}{{ template \"d\" }}",
            "etc/motd.ww:2:4: in template \"d\": at <fail \"no disk\">: error calling fail: no disk",
        ),
        ("{{ upper 3 }}", "etc/motd.ww:1:10: at <3>: expected string; found 3"),
        ("{{ if .Id }}\n", "etc/motd.ww:2:1: unexpected EOF: an {{end}} is missing"),
        ("{{ add 1 | trunc 2 3 }}", "etc/motd.ww:1:12: at <trunc>: wrong number of args for trunc: want 2 got 3"),
    ] {
        assert_eq!(failed(text, &node()).to_string(), wanted, "{text}");
    }
}

/// Notes each name that a template asks for.
struct Watched(Arc<Mutex<Vec<String>>>);

impl Object for Watched {
    fn type_name(&self) -> Cow<'_, str> {
        "node.Node".into()
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.0.lock().unwrap().push(name.to_owned());
        match name {
            "Id" => Some("n1".into()),
            "Tags" => Some(Map::lazy(Type::Text, Type::Text, Arc::new(Watched(Arc::clone(&self.0)))).into()),
            "All" => Some(List::lazy(Type::Any, Arc::new(Watched(Arc::clone(&self.0)))).into()),
            _ => None,
        }
    }

    fn method(&self, name: &str, args: &[Value], _: &Context<'_>) -> Option<Result<Value, Failure>> {
        let ("Join", [Value::Text(a), Value::Text(b)]) = (name, args) else {
            return (name == "Join").then(|| Err(Failure::arguments(2, args.len())));
        };
        Some(Ok(format!("{a}-{b}").into()))
    }
}

impl Mapping for Watched {
    fn entry(&self, key: &Key) -> Option<Value> {
        self.0.lock().unwrap().push(format!("Tags[{key:?}]"));
        None
    }

    fn keys(&self) -> Vec<Key> {
        self.0.lock().unwrap().push("Tags[*]".into());
        Vec::new()
    }
}

impl Sequence for Watched {
    fn len(&self) -> usize {
        self.0.lock().unwrap().push("All#".into());
        3
    }

    fn item(&self, index: usize) -> Option<Value> {
        self.0.lock().unwrap().push(format!("All[{index}]"));
        Some(index.into())
    }
}

#[test]
fn only_what_a_template_reads_is_asked_for() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let data = Value::object(Watched(Arc::clone(&asked)));
    let text =
        "{{ .Id }} {{ .Tags.rack }} {{ index .All 1 }} {{ range .All }}{{ break }}{{ end }}{{ range .Tags }}{{ end }}";
    assert_eq!(render("t", text, &data).unwrap(), "n1 <no value> 1 ");
    let asked = asked.lock().unwrap().join(" ");
    let wanted = "Id Tags Tags[Text(\"rack\")] All All# All[1] All All# All[0] Tags Tags[*]";
    assert_eq!(asked, wanted);
}

#[test]
fn methods_take_arguments() {
    let data = Value::object(Watched(Arc::default()));
    assert_eq!(render("t", "{{ .Join \"a\" \"b\" }} {{ \"d\" | .Join \"c\" }}", &data).unwrap(), "a-b c-d");
    let error = render("t", "{{ .Join \"a\" }}", &data).unwrap_err();
    assert_eq!(error.to_string(), "t:1:4: at <.Join>: wrong number of args for Join: want 2 got 1");
}

#[test]
fn set_and_merge_never_reach_the_data_of_the_host() {
    let resources: BTreeMap<String, Value> = [("a".to_owned(), Value::int(1))].into();
    let data: Value = Record::new("node.Node").pointer().with("Resources", resources).into();
    let text = "{{ $r := set .Resources \"b\" 2 }}{{ $r }} {{ .Resources }} {{ merge .Resources (dict \"c\" 3) }} {{ .Resources }}";
    assert_eq!(render("t", text, &data).unwrap(), "map[a:1 b:2] map[a:1] map[a:1 c:3] map[a:1]");
    let names: Value = Record::new("T").with("Names", vec!["b".to_owned(), "a".to_owned()]).into();
    assert_eq!(render("t", "{{ sortAlpha .Names }} {{ .Names }}", &names).unwrap(), "[a b] [b a]");
}

#[test]
fn keys_and_values_come_sorted() {
    let text = "{{ $d := dict \"c\" 1 \"a\" 2 \"b\" 3 }}{{ keys $d }} {{ values $d }}";
    assert_eq!(render("t", text, &Value::Nil).unwrap(), "[a b c] [2 3 1]");
}

#[test]
fn a_dict_cannot_be_put_into_itself() {
    let error = render("t", "{{ $d := dict }}{{ set $d \"a\" (list $d) }}", &Value::Nil).unwrap_err();
    assert!(error.message.ends_with("a dict cannot be put into itself"), "{error}");
}

#[test]
fn templates_may_call_each_other_only_so_deep() {
    let text = "{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}";
    let error = render("t", text, &Value::Nil).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Exhausted);
    let counted =
        "{{ define \"r\" }}{{ if . }}{{ template \"r\" (sub . 1) }}{{ end }}{{ end }}{{ template \"r\" 100 }}ok";
    assert_eq!(render("t", counted, &Value::Nil).unwrap(), "ok");
}

#[test]
fn pointers_inside_of_lists_print_the_same_address_everywhere() {
    let data = Value::list(vec![node(), node()]);
    assert_eq!(render("t", "{{ . }}", &data).unwrap(), "[0xc000012000 0xc000012000]");
}

#[test]
fn a_template_in_latin_1_passes_through() {
    let template = Template::parse("t", b"caf\xe9 {{ 1 }}", &NoFunctions).unwrap();
    assert_eq!(template.render(&Value::Nil, &Options::default()).unwrap(), b"caf\xe9 1");
}

/// One function with state, into buffers.
struct Pages(Buffers);

const PAGES: &[(&str, Signature)] = &[("page", Signature::new(&[Param::Text])), ("stop", Signature::new(&[]))];

impl Host for Pages {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.0.write(bytes);
        Ok(())
    }

    fn call(&mut self, name: &str, args: &[Value], _: &Context<'_>) -> Result<Value, Failure> {
        match (name, args) {
            ("page", [Value::Text(name)]) => {
                self.0.switch(name.clone());
                Ok("".into())
            }
            _ => Err(Failure::Abort),
        }
    }
}

#[test]
fn a_function_of_the_host_switches_the_output_and_stops_it() {
    let template = Template::parse("t", "a{{ page \"x\" }}b{{ stop }}c", &PAGES).unwrap();
    let mut pages = Pages(Buffers::new(""));
    let ended = template.execute(&Value::Nil, &mut pages, &Nowhere, &Options::default()).unwrap();
    assert!(matches!(ended, Ending::Aborted { .. }));
    let wanted = [("".into(), b"a".to_vec()), ("x".into(), b"b".to_vec())];
    assert_eq!(pages.0.finish(), wanted);
    let error = Template::parse("t", "{{ pages }}", &PAGES).unwrap_err();
    assert_eq!(error.nearest.as_deref(), Some("page"));
}

#[test]
fn a_tree_tells_which_functions_and_fields_it_uses() {
    let template = Template::parse("t", "{{ if .a.b }}{{ upper (index .c 1) }}{{ end }}", &NoFunctions).unwrap();
    let mut seen = Vec::new();
    for tree in template.trees() {
        ast::walk(&tree.root, &mut |expr| match &expr.kind {
            ast::ExprKind::Field(path) => seen.push(path.join(".")),
            ast::ExprKind::Function(function) => seen.push(function.name.to_string()),
            _ => {}
        });
    }
    assert_eq!(seen, ["a.b", "upper", "index", "c"]);
}
