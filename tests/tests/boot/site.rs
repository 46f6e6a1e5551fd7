//! The site that the boots share: one image, imported and built once by our own commands.

use std::sync::OnceLock;

use tests::world::Wishes;
use tests::{Net, World};

static IMAGE: OnceLock<Result<World, String>> = OnceLock::new();

/// A site with the image that all boots use, and no nodes.
pub fn with_image(net: &Net, wishes: &Wishes) -> anyhow::Result<World> {
    let made = IMAGE.get_or_init(|| import().map_err(|error| format!("{error:#}")));
    let store = made.as_ref().map_err(|reason| anyhow::anyhow!("no image: {reason}"))?;
    let world = World::new(net, wishes)?;
    world.share_image(store)?;
    Ok(world)
}

fn import() -> anyhow::Result<World> {
    let rootfs = tests::image::rootfs(&tests::place::cache()?)?;
    let store = World::new(&Net::new()?, &Wishes::default())?;
    store.import(&rootfs)?;
    Ok(store)
}
