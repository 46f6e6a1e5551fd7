//! Go text/template and sprig as a language of its own; knows nothing of Warewulf.
#![forbid(unsafe_code)]
