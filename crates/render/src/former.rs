//! Names that templates used in earlier releases of Warewulf, and what stands for them now. A site's templates are often
//! older than its controller.

/// What was there, and what to write now.
const FORMER: [(&[&str], &str); 2] = [
    (
        &[
            "Get",
            "GetB",
            "GetInt",
            "GetIntPtr",
            "GetPointer",
            "GetReal",
            "GetRealSlice",
            "GetSlice",
            "GotReal",
            "Defined",
        ],
        "up to Warewulf 4.5 a field of .AllNodes or .ThisNode had this method; it is the value itself now: leave the method out",
    ),
    (&["Override"], "the kernel's version has been .Kernel.Version since Warewulf 4.6"),
];

/// The error, and what became of the name that was not found, if it is a former one.
#[must_use]
pub fn explained(mut error: Box<template::Error>) -> Box<template::Error> {
    let missing = error.message.strip_prefix("can't evaluate field ").and_then(|rest| rest.split_once(" in type "));
    let former = missing.and_then(|(name, _)| FORMER.iter().find(|(names, _)| names.contains(&name)));
    if let Some((_, now)) = former {
        error.message = format!("{}: {now}", error.message).into();
        error.nearest = None;
    }
    error
}
