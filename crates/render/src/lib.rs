//! Overlay sources and a view of a node become archive entries; files come in through `trait Source` only.
#![forbid(unsafe_code)]
