//! `wwctl image`: what can be said about images. Tables are in [`list`], commands inside images in [`inside`], the rest
//! of the verbs here.

mod inside;
mod list;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use super::say;
use crate::image::build::{self, Outcome};
use crate::image::import::{self, IfThere};
use crate::image::predict::shown;
use crate::image::shelf::{self, Image};
use crate::site::Site;
use crate::store::nodes;

#[derive(Debug, Args)]
pub struct Verbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build what nodes boot from images that changed
    Build {
        /// Images
        #[arg(value_name = "IMAGE")]
        images: Vec<String>,
        /// Build every image
        #[arg(long, short)]
        all: bool,
        /// Build also what is current, from nothing
        #[arg(long, short)]
        force: bool,
    },
    /// Make a second image with the same tree
    #[command(visible_alias = "cp")]
    Copy {
        image: String,
        new: String,
        /// Build the new one
        #[arg(long, short)]
        build: bool,
    },
    /// Delete images and what was built of them
    #[command(visible_aliases = ["rm", "remove", "del"])]
    Delete {
        /// Images
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Run a command inside an image
    Exec {
        #[command(flatten)]
        how: inside::Arguments,
        image: String,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// What `exec` runs: becomes the command
    #[command(name = "__inside", hide = true)]
    Inside {
        #[arg(long, short)]
        bind: Vec<String>,
        image: String,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Make an image from a folder or a tar archive
    #[command(visible_alias = "pull")]
    Import {
        /// A folder with a root file system, or a tar archive of one
        source: String,
        /// The image's name; absent: the source's
        name: Option<String>,
        /// Build it
        #[arg(long, short)]
        build: bool,
        /// Replace an image that is there
        #[arg(long, short, conflicts_with = "update")]
        force: bool,
        /// Unpack over an image that is there
        #[arg(long, short)]
        update: bool,
    },
    /// List the kernels of images
    #[command(visible_alias = "kernel")]
    Kernels {
        /// Images; none: all
        #[arg(value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// List images
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Give an image another name, also where nodes and profiles name it
    #[command(visible_alias = "mv")]
    Rename {
        image: String,
        new: String,
        /// Build it
        #[arg(long, short)]
        build: bool,
    },
    /// Open a shell inside an image
    #[command(visible_alias = "chroot")]
    Shell {
        #[command(flatten)]
        how: inside::Arguments,
        image: String,
    },
    /// Show where an image's tree lies
    Show {
        image: String,
        /// All that is known of it
        #[arg(long, short)]
        all: bool,
    },
}

/// One verb, done.
///
/// # Errors
/// What kept it from being done.
pub fn run(site: &Site, verbs: Verbs) -> anyhow::Result<()> {
    match verbs.verb {
        Verb::Build { images, all, force } => build_some(site, &images, all, force),
        Verb::Copy { image, new, build } => copy(site, &image, &new, build),
        Verb::Delete { images, yes } => delete(site, &images, yes),
        Verb::Exec { how, image, command } => inside::exec(site, &image, &how, &command),
        Verb::Inside { bind, image, command } => inside::become_it(site, &image, &bind, &command),
        Verb::Import { source, name, build, force, update } => {
            let if_there = match (force, update) {
                (true, _) => IfThere::Replace,
                (_, true) => IfThere::Update,
                _ => IfThere::Refuse,
            };
            import(site, &source, name, if_there, build)
        }
        Verb::Kernels { images } => list::kernels(site, &images),
        Verb::List(arguments) => list::images(site, &arguments),
        Verb::Rename { image, new, build } => rename(site, &image, &new, build),
        Verb::Shell { how, image } => inside::shell(site, &image, &how),
        Verb::Show { image, all } => list::show(site, &image, all),
    }
}

fn build_some(site: &Site, names: &[String], all: bool, force: bool) -> anyhow::Result<()> {
    let images = if all {
        shelf::all(site)?
    } else {
        names.iter().map(|name| shelf::image(site, name)).collect::<anyhow::Result<Vec<_>>>()?
    };
    if images.is_empty() && !all {
        bail!("name the images to build, or say --all");
    }
    let mut failed = None;
    for image in &images {
        // One image that cannot be built is no reason to leave the others old.
        if let Err(error) = build_one(site, image, force)
            && let Some(before) = failed.replace(error)
        {
            say::warn(format_args!("{before:#}"));
        }
    }
    failed.map_or(Ok(()), Err)
}

fn build_one(site: &Site, image: &Image, force: bool) -> anyhow::Result<()> {
    let report = build::build(site, image, force, |note| say::warn(note))?;
    for warning in &report.warnings {
        say::warn(format_args!("image {}: {warning}", image.name));
    }
    let text = match report.outcome {
        Outcome::Current => format!("image {}: current\n", image.name),
        Outcome::Built(facts) => format!(
            "image {}: built in {}.{:02} s: {} entries, {}, gzip {}, zstd {}, {} of {} pieces kept\n",
            image.name,
            facts.time.as_secs(),
            facts.time.subsec_millis() / 10,
            facts.entries,
            shown(facts.plain),
            shown(facts.gzip),
            shown(facts.zstd),
            facts.kept,
            facts.pieces
        ),
    };
    say::answer(&text)
}

fn copy(site: &Site, image: &str, new: &str, build: bool) -> anyhow::Result<()> {
    let from = shelf::image(site, image)?;
    for warning in import::copy(site, &from, new)? {
        say::warn(format_args!("image {new}: {warning}"));
    }
    if build { build_one(site, &shelf::image(site, new)?, false) } else { Ok(()) }
}

fn import(site: &Site, source: &str, name: Option<String>, if_there: IfThere, build: bool) -> anyhow::Result<()> {
    if source.split_once("://").is_some_and(|(scheme, _)| !scheme.is_empty() && !scheme.contains('/')) {
        bail!(
            "{source}: images are made from folders and tar archives; `podman export` makes one from a container image"
        );
    }
    let source = PathBuf::from(source);
    let name = match name {
        Some(name) => name,
        None => name_of(&source).with_context(|| format!("{}: say a name for the image", source.display()))?,
    };
    for warning in import::import(site, &source, &name, if_there)? {
        say::warn(format_args!("image {name}: {warning}"));
    }
    say::answer(&format!("image {name}: imported\n"))?;
    if build { build_one(site, &shelf::image(site, &name)?, false) } else { Ok(()) }
}

/// The source's own name, without what says how it is packed.
fn name_of(source: &std::path::Path) -> Option<String> {
    let name = source.canonicalize().unwrap_or_else(|_| source.to_path_buf()).file_name()?.to_str()?.to_string();
    let plain = [".gz", ".xz", ".zst", ".bz2"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    let plain = plain.strip_suffix(".tgz").or_else(|| plain.strip_suffix(".tar")).unwrap_or(plain);
    Some(plain.to_string())
}

fn delete(site: &Site, names: &[String], yes: bool) -> anyhow::Result<()> {
    let images = names.iter().map(|name| shelf::image(site, name)).collect::<anyhow::Result<Vec<_>>>()?;
    let users = list::Users::load(site)?;
    for image in &images {
        let nodes = users.of(&image.name);
        if !nodes.is_empty() {
            bail!(
                "image {}: in use by {}; give these nodes another image first",
                image.name,
                model::hostlist::fold(&nodes)
            );
        }
    }
    if !yes && !say::ask(&format!("Delete {}", names.join(", ")))? {
        return Ok(());
    }
    for image in &images {
        import::delete(site, image)?;
        say::answer(&format!("image {}: deleted\n", image.name))?;
    }
    Ok(())
}

fn rename(site: &Site, image: &str, new: &str, build: bool) -> anyhow::Result<()> {
    let from = shelf::image(site, image)?;
    let to = shelf::place(site, new)?;
    let was_built = shelf::built(site, image).img.exists();
    import::rename(site, &from, &to)?;
    let renamed = if site.conf.paths.nodes_conf().exists() {
        nodes::change(site, |conf| {
            let nodes = conf.nodes.values_mut().map(|node| &mut node.profile);
            for profile in nodes.chain(conf.profiles.values_mut()) {
                if profile.image_name == image {
                    profile.image_name = new.to_string();
                }
            }
            Ok(())
        })
        .map(|((), written)| written)
    } else {
        Ok(nodes::Written::Same)
    };
    match renamed {
        Ok(nodes::Written::Same) => {}
        Ok(nodes::Written::Yes { lost }) => {
            if lost {
                say::warn("comments of nodes.conf could not be kept");
            }
            say::reload(site);
        }
        Err(error) => {
            // Nodes that name an image which is gone would not boot.
            import::rename(site, &to, &from)
                .with_context(|| format!("{error:#}; and the image keeps its new name {new}"))?;
            return Err(error);
        }
    }
    if build {
        return build_one(site, &shelf::image(site, new)?, false);
    }
    if !was_built {
        say::warn(format_args!("image {new}: never built; `wwctl image build {new}` makes what nodes boot"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_source_gives_its_name_without_what_says_how_it_is_packed() {
        for (source, name) in
            [("/x/rocky-9.tar.gz", "rocky-9"), ("a.tgz", "a"), ("b.tar", "b"), ("c/", "c"), ("d.tar.zst", "d")]
        {
            assert_eq!(name_of(Path::new(source)).unwrap(), name);
        }
    }
}
