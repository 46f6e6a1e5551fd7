//! The tagged JSON of the vectors as values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use template::{
    Callable, Context, Dict, Failure, FloatKind, IntKind, Key, List, Map, MapType, Object, Text, Time, Type, UintKind,
    Value, Zone,
};

pub fn build(json: &Json, sets: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(b) => Value::Bool(*b),
        Json::String(s) => s.as_str().into(),
        Json::Number(n) => match n.as_i64() {
            Some(n) => Value::int(n),
            None => Value::float(n.as_f64().unwrap()),
        },
        Json::Array(items) => Value::List(List::shared(Type::Any, all(items, sets))),
        Json::Object(map) => match map.iter().next() {
            Some((tag, inner)) if map.len() == 1 && tag.starts_with('$') => tagged(tag, inner, sets),
            _ => Value::Dict(Dict::new(map.iter().map(|(k, v)| (k.as_str(), build(v, sets))))),
        },
    }
}

fn all(items: &[Json], sets: &Json) -> Vec<Value> {
    items.iter().map(|item| build(item, sets)).collect()
}

fn tagged(tag: &str, json: &Json, sets: &Json) -> Value {
    let digits = || json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    let int = |kind| Value::Int(kind, digits().parse().unwrap());
    let uint = |kind| Value::Uint(kind, digits().parse().unwrap());
    match tag {
        "$ref" => build(&sets[json.as_str().unwrap()], sets),
        "$nil" => Value::Nil,
        "$int" => int(IntKind::Int),
        "$int8" => int(IntKind::I8),
        "$int32" => int(IntKind::I32),
        "$int64" => int(IntKind::I64),
        "$uint" => uint(UintKind::Uint),
        "$uint8" => uint(UintKind::U8),
        "$uint64" => uint(UintKind::U64),
        "$float" => Value::Float(FloatKind::F64, float(json)),
        "$float32" => Value::Float(FloatKind::F32, f64::from(float(json) as f32)),
        "$bytes" => Value::Bytes(json.as_str().unwrap().into()),
        "$time" => Value::Time(rfc3339(json.as_str().unwrap())),
        "$list" => list(Type::Any, json, sets),
        "$list_s" => list(Type::Text, json, sets),
        "$list_i" => list(Type::Int(IntKind::Int), json, sets),
        "$list_f" => list(Type::Float(FloatKind::F64), json, sets),
        "$list_b" => list(Type::Bool, json, sets),
        "$list_m" => list(Type::map(Type::Text, Type::Any), json, sets),
        "$map_any" if json.is_null() => nil_map(Type::Text, Type::Any),
        "$map_any" => Value::Dict(Dict::new(json.as_object().unwrap().iter().map(|(k, v)| (k, build(v, sets))))),
        "$map_ss" => map(Type::Text, Type::Text, json, sets),
        "$map_si" => map(Type::Text, Type::Int(IntKind::Int), json, sets),
        "$map_is" => map(Type::Int(IntKind::Int), Type::Text, json, sets),
        "$list_obj" => list(pointer_type(json), &json["items"], sets),
        "$map_obj" => map(Type::Text, pointer_type(json), &json["items"], sets),
        "$func" => Value::Func(Arc::new(Function(json.as_str().unwrap().to_owned()))),
        "$obj" => Value::Object(Arc::new(Thing::new(json, sets))),
        tag => panic!("unknown tag {tag}"),
    }
}

fn float(json: &Json) -> f64 {
    match json {
        Json::String(s) => s.replace("Inf", "inf").parse().unwrap(),
        n => n.as_f64().unwrap(),
    }
}

fn list(elem: Type, json: &Json, sets: &Json) -> Value {
    let item = |json: &Json| match (build(json, sets), &elem) {
        (Value::Int(_, n), Type::Float(kind)) => Value::Float(*kind, n as f64),
        (value, _) => value,
    };
    match json.as_array() {
        Some(items) => Value::List(List::shared(elem.clone(), items.iter().map(item).collect())),
        None => Value::List(List::nil(elem)),
    }
}

fn nil_map(key: Type, elem: Type) -> Value {
    Value::Map(Map::nil(Arc::new(MapType { key, elem })))
}

fn map(key: Type, elem: Type, json: &Json, sets: &Json) -> Value {
    let Some(entries) = json.as_object() else { return nil_map(key, elem) };
    let as_key = |k: &String| match key {
        Type::Int(_) => Key::Int(k.parse().unwrap()),
        _ => Key::from(k.as_str()),
    };
    let entries: BTreeMap<Key, Value> = entries.iter().map(|(k, v)| (as_key(k), build(v, sets))).collect();
    Value::Map(Map::of(key, elem, entries))
}

/// `{"type": "*Port", ...}`
fn pointer_type(json: &Json) -> Type {
    let name = json["type"].as_str().unwrap();
    let bare = name.trim_start_matches('*').to_owned();
    let nil = Thing { type_name: format!("main.{bare}"), pointer: true, nil: true, ..Thing::default() };
    let name = if name.starts_with('*') { format!("*main.{bare}") } else { format!("main.{bare}") };
    Type::object(name, Value::Object(Arc::new(nil)))
}

fn rfc3339(text: &str) -> Time {
    let (stamp, nanos) = match text.trim_end_matches('Z').split_once('.') {
        Some((stamp, part)) => (stamp, format!("{part:0<9}").parse().unwrap()),
        None => (text.trim_end_matches('Z'), 0),
    };
    let numbers: Vec<i64> = stamp.split(['-', 'T', ':']).map(|n| n.parse().unwrap()).collect();
    let [year, month, day, hour, minute, second] = numbers[..] else { panic!("{text}") };
    Time::from_civil((year, month, day), (hour, minute, second), nanos, Zone::Utc)
}

/// A value of a named type, with the fields and methods that the vectors give it.
#[derive(Default)]
struct Thing {
    type_name: String,
    pointer: bool,
    nil: bool,
    fields: Vec<(String, Value)>,
    embedded: Vec<String>,
    unexported: Vec<String>,
    underlying: Option<Value>,
    len: Option<usize>,
    text: Option<Text>,
    methods: BTreeMap<String, Result<Value, String>>,
}

impl Thing {
    fn new(json: &Json, sets: &Json) -> Self {
        let names = |key: &str| -> Vec<String> {
            json[key].as_array().into_iter().flatten().map(|n| n.as_str().unwrap().to_owned()).collect()
        };
        let underlying = match json["of"].as_str() {
            Some("bytes") => Some(Value::Bytes(json["value"].as_str().unwrap_or("").into())),
            Some(_) => Some(build(&json["value"], sets)),
            None => None,
        };
        let method = |value: &Json| match value {
            Json::Object(map) if map.contains_key("$error") => Err(map["$error"].as_str().unwrap().to_owned()),
            Json::Object(map) if map.contains_key("$panic") => Err(map["$panic"].as_str().unwrap().to_owned()),
            value => Ok(build(value, sets)),
        };
        Self {
            type_name: format!("main.{}", json["type"].as_str().unwrap()),
            pointer: json["pointer"] == Json::Bool(true),
            nil: json["nil"] == Json::Bool(true),
            fields: json["fields"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|pair| (pair[0].as_str().unwrap().to_owned(), build(&pair[1], sets)))
                .collect(),
            embedded: names("embedded"),
            unexported: names("unexported"),
            underlying,
            len: json["len"].as_u64().map(|n| usize::try_from(n).unwrap()),
            text: json["text"].as_str().map(Text::from),
            methods: json["methods"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), method(value)))
                .collect(),
        }
    }

    fn own(&self, name: &str) -> Option<Value> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
    }
}

impl Object for Thing {
    fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.type_name)
    }

    fn is_pointer(&self) -> bool {
        self.pointer
    }

    fn is_nil(&self) -> bool {
        self.nil
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.own(name).or_else(|| {
            self.embedded.iter().find_map(|inner| match self.own(inner) {
                Some(Value::Object(object)) => object.field(name),
                _ => None,
            })
        })
    }

    fn fields(&self) -> Vec<Cow<'_, str>> {
        self.fields.iter().map(|(n, _)| Cow::Borrowed(n.as_str())).collect()
    }

    fn is_unexported(&self, name: &str) -> bool {
        self.unexported.iter().any(|n| n == name)
    }

    fn method(&self, name: &str, args: &[Value], _: &Context<'_>) -> Option<Result<Value, Failure>> {
        let result = self.methods.get(name)?;
        if !args.is_empty() {
            return Some(Err(Failure::arguments(0, args.len())));
        }
        Some(result.clone().map_err(Failure::Message))
    }

    fn methods(&self) -> Vec<Cow<'_, str>> {
        self.methods.keys().map(|n| Cow::Borrowed(n.as_str())).collect()
    }

    fn text(&self) -> Option<Text> {
        self.text.clone()
    }

    fn underlying(&self) -> Option<Value> {
        self.underlying.clone()
    }

    fn length(&self) -> Option<usize> {
        self.len
    }
}

struct Function(String);

impl Callable for Function {
    fn type_name(&self) -> Cow<'_, str> {
        match self.0.as_str() {
            "twice" => "func(int) int".into(),
            "glue" => "func(...string) string".into(),
            "sour" => "func() (string, error)".into(),
            _ => "func() string".into(),
        }
    }

    fn arity(&self) -> Option<usize> {
        match self.0.as_str() {
            "twice" => Some(1),
            "glue" => None,
            _ => Some(0),
        }
    }

    fn call(&self, args: &[Value], _: &Context<'_>) -> Result<Value, Failure> {
        match (self.0.as_str(), args) {
            ("twice", [Value::Int(IntKind::Int, n)]) => Ok(Value::int(n * 2)),
            ("twice", [other]) => Err(format!("arg 0: value has type {}; should be int", other.type_name()).into()),
            ("glue", texts) => {
                let texts: Option<Vec<&[u8]>> = texts.iter().map(|t| Some(t.as_text()?.as_bytes())).collect();
                Ok(Value::text(texts.ok_or("glue takes strings")?.join(b"+".as_slice())))
            }
            ("sour", _) => Err("gone sour".into()),
            _ => Ok("zero".into()),
        }
    }
}

/// Zones from the system's table, or none.
pub fn zone(name: &str) -> Option<Zone> {
    let bytes = std::fs::read(std::path::Path::new("/usr/share/zoneinfo").join(name)).ok()?;
    Zone::parse(name, &bytes)
}
