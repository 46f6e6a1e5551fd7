//! Regular expressions: `regexFind` and its kind. The ones with `must` give an error where the others panic in Go,
//! which is an error here as well; only `regexMatch` takes a bad pattern as no match.

use super::arguments::{Marked, PART_BYTES, bytes, int, marked, text};
use super::re2::{Re2, quote_meta};
use super::{Answer, Native, native};
use crate::context::Context;
use crate::error::Failure;
use crate::host::Param::{Int, Text};
use crate::value::{List, Type, Value};

pub(crate) const TABLE: &[Native] = &[
    native("regexMatch", &[Text, Text], |args, cx| match compile(args, cx) {
        Ok(re) => Ok(Value::Bool(re.matches(marked(args, 1).text()))),
        Err(Failure::Message(_)) => Ok(Value::Bool(false)),
        Err(other) => Err(other),
    }),
    native("mustRegexMatch", &[Text, Text], |args, cx| {
        Ok(Value::Bool(compile(args, cx)?.matches(marked(args, 1).text())))
    }),
    native("regexFind", &[Text, Text], |args, cx| find(args, panicking(args, cx)?)),
    native("mustRegexFind", &[Text, Text], |args, cx| find(args, compile(args, cx)?)),
    native("regexFindAll", &[Text, Text, Int], |args, cx| find_all(args, cx, panicking(args, cx)?)),
    native("mustRegexFindAll", &[Text, Text, Int], |args, cx| find_all(args, cx, compile(args, cx)?)),
    native("regexReplaceAll", &[Text, Text, Text], |args, cx| replace(args, cx, panicking(args, cx)?)),
    native("mustRegexReplaceAll", &[Text, Text, Text], |args, cx| replace(args, cx, compile(args, cx)?)),
    native("regexReplaceAllLiteral", &[Text, Text, Text], |args, cx| literal(args, cx, panicking(args, cx)?)),
    native("mustRegexReplaceAllLiteral", &[Text, Text, Text], |args, cx| literal(args, cx, compile(args, cx)?)),
    native("regexSplit", &[Text, Text, Int], |args, cx| split(args, cx, panicking(args, cx)?)),
    native("mustRegexSplit", &[Text, Text, Int], |args, cx| split(args, cx, compile(args, cx)?)),
    native("regexQuoteMeta", &[Text], |args, _| {
        let text = marked(args, 0);
        Ok(Value::Text(text.back(&quote_meta(text.text()))))
    }),
];

/// Steps that a pattern costs for each of its letters and for each letter that it looks at.
const STEPS_A_LETTER: u64 = 16;

fn compile(args: &[Value], cx: &Context<'_>) -> Result<Re2, Failure> {
    let (pattern, subject) = (text(args, 0), bytes(args, 1));
    if matches!(pattern, std::borrow::Cow::Owned(_)) {
        return Err(Failure::Message(format!("error parsing regexp: invalid UTF-8: `{pattern}`")));
    }
    cx.fuel.steps(STEPS_A_LETTER.saturating_mul(1 + pattern.len() as u64).saturating_add(subject.len() as u64))?;
    cx.fuel.patterns().get(&pattern, |weight| {
        // What it takes in memory, roughly; compiled ones are kept until the render ends. What is counted twice is
        // compiled twice.
        cx.fuel.steps(STEPS_A_LETTER.saturating_mul(weight.saturating_sub(pattern.len()) as u64))?;
        cx.fuel.bytes(256usize.saturating_mul(1 + weight))
    })
}

fn panicking(args: &[Value], cx: &Context<'_>) -> Result<Re2, Failure> {
    compile(args, cx).map_err(|failure| match failure {
        Failure::Message(message) => Failure::Message(format!("regexp: Compile(`{}`): {message}", text(args, 0))),
        other => other,
    })
}

fn find(args: &[Value], re: Re2) -> Answer {
    let text = marked(args, 1);
    Ok(Value::Text(text.back(re.find(text.text()).unwrap_or(""))))
}

fn find_all(args: &[Value], cx: &Context<'_>, re: Re2) -> Answer {
    let text = marked(args, 1);
    afford(&re, &text, cx)?;
    Ok(texts(&text, &re.find_all(text.text(), int(args, 2))))
}

fn split(args: &[Value], cx: &Context<'_>, re: Re2) -> Answer {
    let text = marked(args, 1);
    afford(&re, &text, cx)?;
    let pieces = re.split(text.text(), int(args, 2));
    // Only who asks for none gets a nil list.
    let list = || Value::texts(pieces.iter().map(|part| text.back(part)));
    Ok(if int(args, 2) == 0 { texts(&text, &[]) } else { list() })
}

/// Nothing found is a nil list.
fn texts(text: &Marked<'_>, found: &[&str]) -> Value {
    if found.is_empty() {
        return Value::List(List::nil(Type::Text));
    }
    Value::texts(found.iter().map(|part| text.back(part)))
}

fn replace(args: &[Value], cx: &Context<'_>, re: Re2) -> Answer {
    let subject = marked(args, 1);
    let with = marked(args, 2);
    let made = re.replace_all(subject.text(), with.text(), |length| cx.fuel.bytes(length))?;
    Ok(Value::Text(subject.back_with(&with, &made)))
}

fn literal(args: &[Value], cx: &Context<'_>, re: Re2) -> Answer {
    let subject = marked(args, 1);
    let with = marked(args, 2);
    let made = re.replace_all_literal(subject.text(), with.text(), |length| cx.fuel.bytes(length))?;
    Ok(Value::Text(subject.back_with(&with, &made)))
}

/// Pays for a list of all that the pattern finds, before it is made.
fn afford(re: &Re2, text: &Marked<'_>, cx: &Context<'_>) -> Result<(), Failure> {
    let count = re.count(text.text());
    cx.fuel.steps(count as u64)?;
    cx.fuel.bytes(count.saturating_mul(PART_BYTES))
}
