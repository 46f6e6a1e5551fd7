//! Regular expressions that have been compiled: those of a template's text once for all its renders and threads, those
//! that a render makes up for that render. What a pattern costs in fuel does not depend on where it is found.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use crate::error::Failure;
use crate::sprig::Re2;

/// Patterns of one template that are kept; further ones are compiled once a render.
const MOST_IN_TEXT: usize = 256;
/// Patterns that one render keeps, a few kB each, 4 MiB at most.
const MOST_MADE_UP: usize = 64;

/// The patterns that a template's text has as they stand.
#[derive(Debug, Default)]
pub(crate) struct InText(BTreeMap<Box<str>, OnceLock<Re2>>);

impl InText {
    pub fn add(&mut self, pattern: &str) {
        if self.0.len() < MOST_IN_TEXT {
            self.0.entry(pattern.into()).or_default();
        }
    }
}

/// The patterns of one render.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    in_text: Arc<InText>,
    seen: RefCell<HashMap<Box<str>, Re2>>,
}

impl Patterns {
    pub fn new(in_text: Arc<InText>) -> Self {
        Self { in_text, seen: RefCell::default() }
    }

    /// A compiled pattern. `pay` is asked for its weight the first time that the render has it.
    pub fn get(&self, pattern: &str, pay: impl FnOnce(usize) -> Result<(), Failure>) -> Result<Re2, Failure> {
        if let Some(known) = self.seen.borrow().get(pattern) {
            return Ok(known.clone());
        }
        let kept = self.in_text.0.get(pattern);
        let found = if let Some(known) = kept.and_then(OnceLock::get) {
            pay(known.weight())?;
            known.clone()
        } else {
            let compiled = Re2::compile(pattern, pay)?;
            kept.map_or(&compiled, |place| place.get_or_init(|| compiled.clone())).clone()
        };
        let mut seen = self.seen.borrow_mut();
        if seen.len() >= MOST_MADE_UP {
            seen.clear();
        }
        seen.insert(pattern.into(), found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, NoFunctions, Nowhere, Options, Template, Value};

    fn spent(template: &Template) -> Limits {
        let mut out = Vec::new();
        template.execute(&Value::Nil, &mut out, &Nowhere, &Options::default()).unwrap().spent()
    }

    #[test]
    fn a_pattern_costs_the_same_whether_it_is_kept_made_up_or_met_for_the_first_time() {
        let parse = |text| Template::parse("t", text, &NoFunctions).unwrap();
        let kept = parse(r#"{{ range 3 }}{{ regexMatch "(a{20}b)+[x]" "aab" }}{{ end }}{{ $x := "" }}"#);
        let first = spent(&kept);
        assert_eq!(kept.patterns().0.values().filter(|place| place.get().is_some()).count(), 1);
        assert_eq!(spent(&kept), first);
        let made_up = parse(r#"{{ $x := "(a{20}b)+[x]" }}{{ range 3 }}{{ regexMatch $x "aab" }}{{ end }}"#);
        assert!(made_up.patterns().0.is_empty());
        assert_eq!(spent(&made_up).bytes, first.bytes);
    }

    #[test]
    fn a_repetition_weighs_as_much_as_what_it_writes_out() {
        let weight = |pattern| Re2::compile(pattern, |_| Ok(())).unwrap().weight();
        assert_eq!(weight("abc"), 3);
        assert_eq!(weight("(a{10}b){20}c"), 221);
        assert_eq!(weight("a{2,50}?b*"), 51);
        let mut asked = 0;
        let refused = Re2::compile("(a{100}){10}", |weight| {
            asked = weight;
            Err("too much".into())
        });
        assert_eq!((asked, refused.unwrap_err().to_string()), (1000, "too much".to_string()));
    }

    #[test]
    fn a_render_keeps_only_so_many_patterns() {
        let text = r#"{{ range $i := until 200 }}{{ regexFind (print "a" $i) (print "xa" $i) }}{{ end }}"#;
        let out = Template::parse("t", text, &NoFunctions).unwrap().render(&Value::Nil, &Options::default()).unwrap();
        assert!(out.ends_with(b"a198a199"));
        let patterns = Patterns::default();
        for i in 0..200 {
            patterns.get(&format!("a{i}"), |_| Ok(())).unwrap();
            assert!(patterns.seen.borrow().len() <= MOST_MADE_UP);
        }
    }
}
