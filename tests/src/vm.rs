//! Vm: a machine in QEMU with an empty disk, switched on in a Net. What it says is its Console; a key can be pressed on
//! its serial line; it is switched off through QMP, and by its process id when that fails.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::cable::{self, Cable, Faults, Mishaps};
use crate::console::Console;
use crate::net::Net;
use crate::undo;

/// What SeaBIOS says when nothing is left to try.
const GAVE_UP: &str = "No bootable device";

/// How a machine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS; the iPXE in the card's ROM asks.
    Bios,
    /// OVMF, whose own PXE asks before anything else.
    Uefi,
    /// OVMF with its PXE switched off: UEFI HTTP Boot (UEFI 2.10, 24.7) is what is left.
    UefiHttp,
}

/// What a machine is, before it is switched on.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its network card.
    pub mac: String,
    pub firmware: Firmware,
    /// MiB.
    pub memory: u32,
    /// The chassis asset tag in its SMBIOS tables.
    pub asset: Option<String>,
    /// Its system UUID.
    pub uuid: Option<String>,
    /// What goes wrong on its cable.
    pub faults: Option<Faults>,
    /// More words for QEMU.
    pub more: Vec<String>,
}

impl Machine {
    /// A BIOS machine with 1 GiB.
    pub fn bios(mac: &str) -> Machine {
        let mac = mac.to_owned();
        Machine { mac, firmware: Firmware::Bios, memory: 1024, asset: None, uuid: None, faults: None, more: Vec::new() }
    }

    fn words(&self, tap: &str, folder: &Path) -> anyhow::Result<Vec<String>> {
        let at = |name: &str| folder.join(name).display().to_string();
        let mut words = String::new();
        // /dev/kvm may be there and still not work, so it is never tried. qemu64 is the fastest to emulate. SeaBIOS,
        // and iPXE with it, print on the serial line when there is no graphics.
        write!(
            words,
            "-accel tcg,thread=multi,tb-size=512 -M q35,graphics=off -cpu qemu64 -smp 1 -m {} ",
            self.memory
        )?;
        write!(words, "-nodefaults -no-user-config -display none -no-reboot -device virtio-rng-pci ")?;
        write!(words, "-chardev socket,id=ser,path={},server=on,wait=on -serial chardev:ser ", at("serial"))?;
        write!(words, "-qmp unix:{},server=on,wait=off ", at("qmp"))?;
        if self.faults.is_some() {
            let (local, remote) = (at(cable::MACHINE), at(cable::RELAY));
            write!(words, "-netdev dgram,id=n0,local.type=unix,local.path={local},")?;
            write!(words, "remote.type=unix,remote.path={remote} ")?;
        } else {
            write!(words, "-netdev tap,id=n0,ifname={tap},script=no,downscript=no ")?;
        }
        // The card's own ROM is iPXE; without it OVMF's PXE and HTTP Boot ask themselves.
        let rom = if self.firmware == Firmware::Bios { "" } else { ",romfile=" };
        write!(words, "-device virtio-net-pci,netdev=n0,mac={},bootindex=0{rom} ", self.mac)?;
        if self.firmware != Firmware::Bios {
            let variables = folder.join("variables");
            std::fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &variables)
                .context("package ovmf has no OVMF_VARS_4M.fd")?;
            write!(words, "-drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd ")?;
            write!(words, "-drive if=pflash,unit=1,format=raw,file={} ", variables.display())?;
        }
        if self.firmware == Firmware::UefiHttp {
            for family in ["IPv4", "IPv6"] {
                write!(words, "-fw_cfg name=opt/org.tianocore/{family}PXESupport,string=n ")?;
            }
        }
        if let Some(asset) = &self.asset {
            write!(words, "-smbios type=3,asset={asset} ")?;
        }
        if let Some(uuid) = &self.uuid {
            write!(words, "-uuid {uuid} ")?;
        }
        Ok(words.split_whitespace().map(str::to_owned).chain(self.more.iter().cloned()).collect())
    }
}

/// A machine that is on.
#[derive(Debug)]
pub struct Vm {
    child: Child,
    power_on: Instant,
    console: Console,
    serial: UnixStream,
    qmp: PathBuf,
    tap: String,
    cable: Option<Cable>,
    _folder: undo::Folder,
}

impl Vm {
    /// Switches a machine on.
    ///
    /// # Errors
    /// When QEMU does not start.
    pub fn start(net: &Net, machine: &Machine) -> anyhow::Result<Vm> {
        let folder = undo::Folder::temporary("vm")?;
        let tap = net.tap()?;
        let words = machine.words(&tap, folder.path())?;
        let cable = match &machine.faults {
            Some(faults) => Some(Cable::lay(net, &tap, folder.path(), faults)?),
            None => None,
        };
        let mut qemu = net.command("qemu-system-x86_64");
        let said = std::fs::File::create(folder.path().join("said"))?;
        qemu.args(&words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let child = qemu.spawn().context("cannot start qemu-system-x86_64")?;
        let power_on = Instant::now();
        undo::note_process(child.id());
        let mut child = child;
        let serial = match connect(&folder.path().join("serial"), &mut child) {
            Ok(serial) => serial,
            Err(error) => {
                let said = std::fs::read_to_string(folder.path().join("said")).unwrap_or_default();
                end(&mut child);
                return Err(error.context(format!("QEMU does not start: {}", said.trim())));
            }
        };
        // Not from QEMU's log file of the line: a character that finds the socket full stands there twice.
        let console = Console::follow(serial.try_clone()?, power_on);
        Ok(Vm { child, power_on, console, serial, qmp: folder.path().join("qmp"), tap, cable, _folder: folder })
    }

    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The port of the bridge that it hangs on.
    pub fn tap(&self) -> &str {
        &self.tap
    }

    /// What went wrong on its cable so far, when things are to go wrong there.
    pub fn mishaps(&self) -> Option<Mishaps> {
        self.cable.as_ref().map(Cable::mishaps)
    }

    /// Since power-on.
    pub fn uptime(&self) -> Duration {
        self.power_on.elapsed()
    }

    /// Waits until a text stands on the console; gives when it was seen, since power-on.
    ///
    /// # Errors
    /// When the time is over or the machine has gone off before; the last lines of the console are in the message.
    pub fn wait_for(&mut self, text: &str, within: Duration) -> anyhow::Result<Duration> {
        self.wait_after(text, 0, within).map(|(_, time)| time)
    }

    fn wait_after(&mut self, text: &str, place: usize, within: Duration) -> anyhow::Result<(usize, Duration)> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(found) = self.console.when_after(text, place) {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the machine went off ({status}) before {text:?} was seen; its last lines:\n{}",
                    self.console.last(30)
                );
            }
            if Instant::now() > deadline {
                bail!(
                    "{text:?} was not seen within {} s; the last lines:\n{}",
                    within.as_secs(),
                    self.console.last(30)
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// # Errors
    /// When the machine is no longer on; the last lines of its console are in the message.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the machine went off ({status}); its last lines:\n{}", self.console.last(30)),
            None if self.console.when(GAVE_UP).is_some() => {
                bail!("the machine found nothing to boot; its last lines:\n{}", self.console.last(30))
            }
            None => Ok(()),
        }
    }

    /// Types on the serial line.
    ///
    /// # Errors
    /// When the line is gone.
    pub fn type_in(&mut self, text: &str) -> anyhow::Result<()> {
        for byte in text.bytes() {
            self.serial.write_all(&[byte])?;
            // The UART has 16 bytes, and its driver is emulated slowly.
            std::thread::sleep(Duration::from_millis(6));
        }
        Ok(())
    }

    /// Has a shell on the serial line run something, and gives what it printed.
    ///
    /// # Errors
    /// When no answer comes in time.
    pub fn ask(&mut self, command: &str, within: Duration) -> anyhow::Result<String> {
        let place = self.console.text().len();
        // The echo of the line has no number in it, the answer has.
        self.type_in(&format!("echo be''gin; {command}; echo en''d\n"))?;
        let (begin, _) = self.wait_after("begin\n", place, within)?;
        let (end, _) = self.wait_after("end\n", begin, within)?;
        let text = self.console.text();
        Ok(text.get(begin..end.saturating_sub("end\n".len())).unwrap_or_default().to_owned())
    }

    /// Switches the machine off.
    pub fn off(mut self) -> Console {
        self.quit();
        self.console.clone()
    }

    /// Resident memory of QEMU, bytes.
    pub fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    }

    fn quit(&mut self) {
        if quit_by_qmp(&self.qmp).is_ok() {
            for _ in 0..100 {
                if matches!(self.child.try_wait(), Ok(Some(_))) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        end(&mut self.child);
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.quit();
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
    undo::forget_process(child.id());
}

fn connect(socket: &Path, child: &mut Child) -> anyhow::Result<UnixStream> {
    for _ in 0..500 {
        if let Ok(stream) = UnixStream::connect(socket) {
            return Ok(stream);
        }
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("it opens no serial line within 10 s")
}

/// QEMU Machine Protocol: a greeting, the hand-shake, and the one command that is wanted.
fn quit_by_qmp(socket: &Path) -> anyhow::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    answers.read_line(&mut line)?;
    stream.write_all(b"{\"execute\":\"qmp_capabilities\"}\n")?;
    line.clear();
    answers.read_line(&mut line)?;
    stream.write_all(b"{\"execute\":\"quit\"}\n")?;
    line.clear();
    answers.read_line(&mut line)?;
    Ok(())
}
