//! The tables of images and of their kernels.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use clap::Args;
use model::Node;

use super::super::{say, table};
use crate::image::excludes::Excludes;
use crate::image::kernels;
use crate::image::predict::shown;
use crate::image::shelf::{self, Image};
use crate::image::tree::{self, ItemKind};
use crate::site::Site;
use crate::store::nodes;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Images; none: all
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Everything
    #[arg(long, short)]
    long: bool,
    /// With the version of the newest kernel
    #[arg(long, short)]
    kernel: bool,
    /// With the size of what was built
    #[arg(long, short)]
    size: bool,
    /// With the size of the tree
    #[arg(long, short)]
    chroot: bool,
    /// With the size of what was built, packed by gzip
    #[arg(long)]
    compressed: bool,
}

/// Which nodes use which image.
#[derive(Debug, Default)]
pub struct Users {
    nodes: BTreeMap<String, Vec<Node>>,
}

impl Users {
    /// From nodes.conf; where there is none there are no nodes.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn load(site: &Site) -> anyhow::Result<Users> {
        let mut users = Users::default();
        if site.conf.paths.nodes_conf().exists() {
            for node in nodes::load(site)?.all_merged() {
                users.nodes.entry(node.profile.image_name.clone()).or_default().push(node);
            }
        }
        Ok(users)
    }

    /// Names of the nodes that use this image, in order.
    pub fn of(&self, image: &str) -> Vec<String> {
        self.nodes_of(image).iter().map(|node| node.id.clone()).collect()
    }

    fn nodes_of(&self, image: &str) -> &[Node] {
        self.nodes.get(image).map_or(&[], Vec::as_slice)
    }
}

/// All images, or those of the names that are there.
fn chosen(site: &Site, names: &[String]) -> anyhow::Result<Vec<Image>> {
    let mut images = shelf::all(site)?;
    images.retain(|image| names.is_empty() || names.contains(&image.name));
    Ok(images)
}

/// `wwctl image list`.
pub fn images(site: &Site, arguments: &Arguments) -> anyhow::Result<()> {
    let images = chosen(site, &arguments.images)?;
    let only_names =
        !(arguments.long || arguments.kernel || arguments.size || arguments.chroot || arguments.compressed);
    let users = if only_names { Users::default() } else { Users::load(site)? };
    let kernel = |image: &Image| kernels::default_version(&image.rootfs).unwrap_or_default();
    let size = |image: &Image| {
        let built = shelf::built(site, &image.name);
        let packed = if arguments.compressed { &built.gz } else { &built.img };
        shown(if arguments.chroot { tree_size(image) } else { file_size(packed) })
    };
    let (mut header, mut rows) = (vec!["IMAGE NAME"], Vec::new());
    if !only_names {
        header.push("NODES");
    }
    if arguments.long {
        header.extend(["KERNEL VERSION", "CREATION TIME", "MODIFICATION TIME", "SIZE"]);
    } else if arguments.kernel {
        header.push("KERNEL VERSION");
    } else if !only_names {
        header.push("SIZE");
    }
    for image in &images {
        let mut row = vec![image.name.clone()];
        if !only_names {
            row.push(users.of(&image.name).len().to_string());
        }
        if arguments.long {
            let made = modified(&image.folder);
            let built = modified(&shelf::built(site, &image.name).img);
            row.extend([kernel(image), time(made), time(built), size(image)]);
        } else if arguments.kernel {
            row.push(kernel(image));
        } else if !only_names {
            row.push(size(image));
        }
        rows.push(row);
    }
    say::answer(&table::plain(&header, &rows))
}

/// `wwctl image kernels`.
pub fn kernels(site: &Site, names: &[String]) -> anyhow::Result<()> {
    let users = Users::load(site)?;
    let mut rows = Vec::new();
    for image in chosen(site, names)? {
        let newest = kernels::newest(&image.rootfs);
        let booted: Vec<_> = users
            .nodes_of(&image.name)
            .iter()
            .filter_map(|node| kernels::find(&image.rootfs, &node.profile.kernel.version).ok())
            .collect();
        for kernel in kernels::list(&image.rootfs) {
            rows.push(vec![
                image.name.clone(),
                kernel.inside.display().to_string(),
                kernel.number().unwrap_or_default(),
                (newest.as_ref() == Some(&kernel)).to_string(),
                booted.iter().filter(|found| found.inside == kernel.inside).count().to_string(),
            ]);
        }
    }
    say::answer(&table::table(&["Image", "Kernel", "Version", "Default", "Nodes"], &rows))
}

/// `wwctl image show`.
pub fn show(site: &Site, name: &str, all: bool) -> anyhow::Result<()> {
    let image = shelf::image(site, name)?;
    if !all {
        return say::answer(&format!("{}\n", image.rootfs.display()));
    }
    let nodes = Users::load(site)?.of(name);
    say::answer(&format!(
        "Name: {name}\nKernelVersion: {}\nRootfs: {}\nNr nodes: {}\nNodes: [{}]\n",
        kernels::default_version(&image.rootfs).unwrap_or_else(|| "not found".into()),
        image.rootfs.display(),
        nodes.len(),
        nodes.join(" ")
    ))
}

/// What is not there has no size.
fn file_size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// The bytes in the tree's files, each file once.
fn tree_size(image: &Image) -> u64 {
    let tree = tree::walk(&image.rootfs, &Excludes::default()).unwrap_or_default();
    let once = |kind: &ItemKind| !matches!(kind, ItemKind::File { first: Some(_), .. });
    tree.items.iter().filter(|item| once(&item.kind)).map(|item| item.stamp.size).sum()
}

/// Seconds since 1970; 0: not there.
fn modified(path: &Path) -> i64 {
    fs::metadata(path).map_or(0, |metadata| metadata.mtime())
}

/// `22 Nov 26 16:30 UTC`.
fn time(seconds: i64) -> String {
    // "Sun, 22 Nov 2026 16:30:05 GMT": two calendars in one house would be one too many.
    let date = boot::http::date::write(seconds);
    let words: Vec<&str> = date.split_whitespace().collect();
    let [_, day, month, year, clock, _] = words.as_slice() else { return date };
    let (year, clock) = (year.get(2..).unwrap_or(year), clock.get(..5).unwrap_or(clock));
    format!("{day} {month} {year} {clock} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_stock_shows_them() {
        let seen = [0, 951_782_400, 1_709_164_800, 1_795_364_999, -1].map(time);
        let wanted = [
            "01 Jan 70 00:00 UTC",
            "29 Feb 00 00:00 UTC",
            "29 Feb 24 00:00 UTC",
            "22 Nov 26 16:29 UTC",
            "31 Dec 69 23:59 UTC",
        ];
        assert_eq!(seen, wanted);
    }
}
