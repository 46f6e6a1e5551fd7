//! Images: what nodes boot. The tree of each lies unpacked below `wwchrootdir`.

pub mod kernels;
