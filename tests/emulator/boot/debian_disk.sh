#!/bin/sh
# A partitioned raw disk with Debian and GRUB in it, for the tests: debian_disk.sh TARGET. As root; takes some minutes.
# The console is the first serial port; root's password is "imgtools".
set -eu
target=$1
size=900 # MiB
start=2048 # the partition's first sector
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=${DEBIAN_ROOT:-$work/root} # kept, if it is given

if [ ! -e "$root/etc/debian_version" ]; then
    debootstrap --variant=minbase \
        --include=systemd-sysv,udev,linux-image-cloud-amd64,iproute2,ifupdown,isc-dhcp-client,wget,kmod,login \
        bookworm "$root" http://deb.debian.org/debian >"$work/log" 2>&1 || { tail -n 5 "$work/log"; exit 1; }
fi
echo "root:imgtools" | chroot "$root" chpasswd
echo debian >"$root/etc/hostname"
printf '/dev/disk/by-uuid/6d1c0f0c-4b0e-4c52-8b57-5a3f9f0c7d11 / ext4 defaults 0 1\n' >"$root/etc/fstab"
printf 'auto lo\niface lo inet loopback\n' >"$root/etc/network/interfaces"
rm -rf "$root/var/cache/apt/archives"/*.deb "$root/var/lib/apt/lists"/* "$root/usr/share/doc" "$root/usr/share/man"
mkdir -p "$root/boot/grub"
cat >"$root/boot/grub/grub.cfg" <<CONFIG
serial --unit=0
terminal_input serial
terminal_output serial
set timeout=1
menuentry "Debian" {
    linux /vmlinuz root=UUID=6d1c0f0c-4b0e-4c52-8b57-5a3f9f0c7d11 console=ttyS0 net.ifnames=0
    initrd /initrd.img
}
CONFIG

# The file system behind the partition table, GRUB's core image between them (GRUB manual, "BIOS installation")
disk="$target.new" # what is at its place is whole
rm -f "$disk"
truncate -s "${size}M" "$disk"
echo "$start,,L,*" | sfdisk --quiet --label dos "$disk"
mkfs.ext4 -q -F -U 6d1c0f0c-4b0e-4c52-8b57-5a3f9f0c7d11 -O ^metadata_csum_seed,^orphan_file \
    -E offset=$((start * 512)) -d "$root" "$disk" $((size * 1024 - start / 2))k
grub-mkimage -O i386-pc -o "$work/core.img" -p "(hd0,msdos1)/boot/grub" \
    biosdisk part_msdos ext2 serial terminal normal linux echo configfile minicmd
dd if=/usr/lib/grub/i386-pc/boot.img of="$disk" bs=440 count=1 conv=notrunc status=none
dd if="$work/core.img" of="$disk" bs=512 seek=1 conv=notrunc status=none
mv "$disk" "$target"
