# Asks the DHCP server at the other end of a cable as firmware and iPXE do, and prints what it is to boot, a line a question.
import socket, struct, sys

card = sys.argv[1]
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
wire.bind((card, 0))
wire.settimeout(10)


def option(number, value):
    return bytes([number, len(value)]) + value


def ask(name, arch, options):
    mac = bytes([0x52, 0x54, 0, 0, 9, arch])
    asked = option(53, b"\1") + option(93, struct.pack(">H", arch)) + option(55, bytes([1, 3, 60, 66, 67, 175]))
    asked += b"".join(option(*each) for each in options) + b"\xff"
    number = 0x1000 + arch
    message = struct.pack(">BBBBIHH16x16s192x", 1, 1, 6, 0, number, 0, 0x8000, mac) + b"\x63\x82\x53\x63" + asked
    datagram = struct.pack(">HHHH", 68, 67, 8 + len(message), 0) + message
    head = struct.pack(">BBHHHBBH4x4s", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0, b"\xff" * 4)
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack(">H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + head[12:]
    wire.send(b"\xff" * 6 + mac + b"\x08\x00" + head + datagram)
    while True:
        got = wire.recv(2000)
        if got[23] == 17 and got[34:36] == b"\0\x43" and struct.unpack(">I", got[46:50])[0] == number:
            break
    message = got[42:]
    found, at = {}, 240
    while at < len(message) and message[at] != 255:
        if message[at] == 0:
            at += 1
            continue
        found[message[at]] = message[at + 2 : at + 2 + message[at + 1]]
        at += 2 + message[at + 1]
    file = found.get(67) or message[108:236]
    said = [name, file.split(b"\0")[0].decode()]
    if 60 in found:
        said.append(found[60].decode())
    if 175 in found:
        # dnsmasq ends what is inside of it.
        said.append(found[175].hex().removesuffix("ff"))
    print(" ".join(said))


ask("bios", 0, [(60, b"PXEClient:Arch:00000:UNDI:002001")])
ask("uefi", 7, [(60, b"PXEClient:Arch:00007:UNDI:003016")])
ask("arm", 11, [(60, b"PXEClient:Arch:00011:UNDI:003016")])
ask("http", 16, [(60, b"HTTPClient:Arch:00016:UNDI:003001")])
ask("ipxe", 9, [(60, b"PXEClient:Arch:00009:UNDI:003016"), (77, b"iPXE")])
