//! Where boot loaders for UEFI lie in an image, and which name asks for which.

/// A boot loader of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    Shim,
    Grub,
}

/// What a file name below `/efiboot/` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EfiFile {
    Loader(Loader),
    /// `grub.cfg`, rendered.
    Config,
}

/// The names that firmware, shim and GRUB ask by. Any GRUB name gets the GRUB that the image has: shim asks by the name
/// that was built into it, whatever the distribution calls the file.
pub fn efi_file(name: &str) -> Option<EfiFile> {
    Some(match name {
        "grub.cfg" => EfiFile::Config,
        "shim.efi" => EfiFile::Loader(Loader::Shim),
        "grub.efi" | "grub-tpm.efi" | "grubx64.efi" | "grubia32.efi" | "grubaa64.efi" | "grubarm.efi"
        | "grubriscv64.efi" => EfiFile::Loader(Loader::Grub),
        _ => return None,
    })
}

/// Where to look in the root of an image, the first that is there counts. A `*` stands for one folder of any name, tried
/// in order of names. SUSE, then Red Hat and its kin, then Debian with its signed builds for the network.
pub fn places(loader: Loader) -> &'static [&'static str] {
    match loader {
        Loader::Shim => &[
            "usr/share/efi/x86_64/shim.efi",
            "usr/share/efi/aarch64/shim.efi",
            "usr/lib64/efi/shim.efi",
            "boot/efi/EFI/*/shim.efi",
            "boot/efi/EFI/*/shimx64.efi",
            "boot/efi/EFI/*/shimaa64.efi",
            "usr/lib/shim/shimx64.efi.signed",
            "usr/lib/shim/shimaa64.efi.signed",
            "usr/lib/shim/shimx64.efi",
        ],
        Loader::Grub => &[
            "usr/share/efi/x86_64/grub.efi",
            "usr/share/efi/aarch64/grub.efi",
            "usr/lib64/efi/grub.efi",
            "boot/efi/EFI/*/grub.efi",
            "boot/efi/EFI/*/grubx64.efi",
            "boot/efi/EFI/*/grubaa64.efi",
            "boot/efi/EFI/*/grub-tpm.efi",
            "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
            "usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_loaders_ask_by() {
        assert_eq!(efi_file("shim.efi"), Some(EfiFile::Loader(Loader::Shim)));
        assert_eq!(efi_file("grubaa64.efi"), Some(EfiFile::Loader(Loader::Grub)));
        assert_eq!(efi_file("grub.cfg"), Some(EfiFile::Config));
        assert_eq!(efi_file("revocations.efi"), None);
        assert_eq!(efi_file(""), None);
    }
}
