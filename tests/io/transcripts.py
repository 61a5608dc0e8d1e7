"""The sessions that qemu-io and imgtools are both given: an image, then commands, with " | " between them.

`IMAGES` in test_differential makes the images. Options in front of the name are qemu-io's.
"""

READ = r"""
qcow2 | read 0 4k | read -q 0 4k | read -v 0 40 | read -C 0 4k | read -Cq 0 4k | read 0 0 | read 1 3 | r 1.5k 512
qcow2 | read -v 65530 20 | read -v 4095 1 | read -v 0 0 | read -qv 0 16 | read -Cv 65536 16 | read 0x200 0x10
qcow2 | read -P 0 0 4k | read -P 1 0 4k | read -P 0x11 64k 64k | read -P 021 64k 64k | read -P 17 65535 2
qcow2 | read -P x 0 1 | read -P 256 0 1 | read -P -1 0 1 | read -P 0x1g 0 1 | read -P +17 64k 1 | read -P17 64k 1
qcow2 | read -P 0 -s 1k -l 512 0 4k | read -P 17 -s 32k 32k 64k | read -P 17 -s 32k -l 1 32k 64k
qcow2 | read -P 17 -l 64k 64k 128k | read -s 1k 0 4k | read -l 1k 0 4k | read -P 0 -s 5k 0 4k
qcow2 | read -P 0 -s 1k -l 4k 0 4k | read -P 3 -l 0 0 8 | read -P 3 -l x 0 8 | read -P 3 -s x 0 8
qcow2 | read -P 3 -vs 2 0 8
qcow2 | read | read 0 | read 0 4k 5 | read x 4k | read 0 x | read -1 4k | read 0 -1 | read -- -1 4k | read -z 0 1
qcow2 | r | r 0 | r -x 0 1 | r --foo 0 1 | r 0 1 2 | read 0 4 -q | read -- 0 4 | read -p 0 4 | read -a 0 4 | read -P
qcow2 | read 0 2M | read 2M 512 | read 1M 0 | read 1M 1 | read 2M 0 | read 1023k 2k | read 0 3G | read 0 2147483648
qcow2 | read 0 8E | read 9E 1 | read 0 16E | read 1e3 0 | read +1 0 | read 1. 0 | read .5k 0 | read 1.5 0 | read 1b 0
qcow2 | read 1s 0 | read 1K 0 | read 1.2.3 0 | read 1kk 0 | read 0x 0 | read 01 0 | read 09 0 | read 1e 0
qcow2 | read 0.1k 0
qcow2 | read 1.0 0 | read 0b1 0 | read -0 0 | read inf 0 | read 0x1.8k 0 | read 7.9E 0 | read _1 0 | read 1_0 0
qcow2 | read 0X10 0
qcow2 | readv 0 512 | readv 0 512 512 1k | readv -P 1 0 512 512 | readv | readv 0 | readv 0 x | readv -v 64k 16 16
qcow2 | readv -Z 0 1 | readv 0 -5 | readv 0 1 2 3 | readv 0 1M 1M | readv -q 0 1 | readv -C 0 1 | readv 0 2G
qcow2 | readv 0 1G 1G | readv 0 2147483136 1k | readv x y | readv -P 400 x y | readv 5G 512
raw | read -v 0 4 | read -P 0x22 0 4k | read 1M 1 | readv -P 0x22 0 1k 3k | read -v 4090 12
vdi | read -v 1M 17 | read -P 0x33 1M 64k | read -P 0 0 1M | read 3M 1 | readv -P 0x33 1M 1 2 3
vmdk | read -v 65536 17 | read -P 0x44 64k 64k | read -P 0 0 64k | read 1M 1 | readv -P 0x44 64k 1 2 3
top | read -P 0x11 64k 64k | read -P 0x55 512k 64k | read -P 0 0 64k | read -v 524280 16
odd | length | read -v 790 40 | read 800 224 | read 0 1k | read 0 1025 | read -P 97 -s 1 0 3
empty | map | length | alloc 0 | read 0 512 | read 0 0 | info
-r qcow2 | read -P 0x11 64k 64k | length | info | map | flush | alloc 0 1M
-rU qcow2 | read 0 4k
"""

WRITE = r"""
qcow2 | write 0 4k | write -q 4k 4k | write -C 8k 4k | write -f 12k 4k | w 16k 4k | write -P 7 20k 4k
qcow2 | read -P 7 20k 4k
qcow2 | write -n 0 4k | write -u 0 4k | write -zP 3 0 4k | write -cf 0 64k | write -bz 0 512 | write -bf 0 512
qcow2 | write -z 64k 4k | write -zn 128k 64k | write -zu 64k 64k
qcow2 | write -zc 192k 64k | write -zf 0 64k | map
qcow2 | write -c 128k 64k | write -c 192k 128k | write -c 128k 64k | write -c 0 4k | write -c 1k 64k | write -c 1M 64k
qcow2 | write -c -P 3 384k 64k | read -P 3 384k 64k | map
raw | write -c 0 64k | write -b 0 512 | read -b 0 512 | write -z 0 4k | read -P 0 0 4k | write -zu 8k 4k
vdi | write -c 0 64k | write -b 0 512 | read -b 0 512 | write -z 0 4k | write -z 1M 4k | read -P 0 1M 4k
vdi | write -P 9 0 3M
vmdk | write -b 0 512 | read -b 0 512 | write -P 9 128k 70k | map | read -P 9 128k 70k | write -z 128k 1k
vmdk | write -z 0 64k | map
qcow2 | write -P 300 0 1 | write -P 7 -s source 0 4k | write -s source 0 13 | read -v 0 16 | write -s nothing 0 13
qcow2 | write -s void 0 13 | write -zs source 0 512 | write -s source 0 3 | write -s . 0 3 | read -v 0 16
qcow2 | write | write 0 | write 0 1 2 | write x 1 | write 0 x | write 0 2M | write 0 3G | write 1M 0 | write 0 0
qcow2 | write -x 0 1
qcow2 | write -r 0 4k | write -P | write -z 0 3G | write -z 0 2M | write -zn 0 3G | write -zn 0 8E | write -p 0 4
qcow2 | writev 0 512 512 | writev -P 9 64k 1k 1k | read -P 9 64k 2k | writev | writev 0 | writev 0 x | writev -f 0 512
qcow2 | writev -z 0 512 | writev 0 2M | writev -q 0 1 | writev -C 0 1 | writev 0 1G 2G | writev -P 999 0 1
qcow2 | discard 64k 64k | map | read -P 0 64k 64k | discard -C 0 64k | discard -q 0 64k | discard 0 2M | discard | d 0
qcow2 | discard x 1 | discard 0 x | discard 0 64k 3 | discard -x 0 1 | discard 65537 2 | discard 0 0
qcow2 | discard 0 2147483648
-dunmap qcow2 | discard 64k 64k | map
-doff qcow2 | discard 64k 64k | read -P 0x11 64k 64k | map | discard 0 2M | write -zu 128k 64k
-dignore raw | discard 0 4k | read -P 0x22 0 4k
top | write -P 3 70k 1k | read -P 3 70k 1k | read -P 0x11 64k 6k | map | write -z 64k 64k | map | discard 512k 64k
top | map
-r qcow2 | write | write 0 | write x 1 | write -x 1 2 | truncate x | truncate | discard x | discard x 1
-r qcow2 | aio_write 0 1
-r qcow2 | writev 0 512 | aio_write -z 0 512 | write -z 0 512 | truncate 1M | flush
-s qcow2 | write -P 3 0 4k | read -P 3 0 4k | map | read -P 0x11 64k 64k
-sr qcow2 | write 0 512
-C top | read -P 17 64k 1k | map | info | alloc 64k 64k | truncate 2M | length | write -P 3 70k 1k | read -P 3 70k 1k
-sC top | read -P 17 64k 1k | map | write -P 3 0 1k
-n qcow2 | write 0 512 | read 0 512
-tunsafe qcow2 | write 0 512 | flush
-twriteback qcow2 | write 0 512
-tdirectsync qcow2 | write 0 512
odd | write -P 3 1000 24 | length | read -v 990 34
qcow2 | write -b 0 512 | read -b 0 512 | read -b 1 512 | write -b 1 3 | read -b 0 3 | write -b 600 3
qcow2 | write -bP 7 64k 1k
qcow2 | write -bP 7 64k 1k | read -bP 7 64k 1k | read -b 1M 512 | read -bv 64k 512
"""

ASYNCHRONOUS = r"""
qcow2 | aio_read 0 4k | aio_flush | aio_read -P 3 0 4k | aio_flush | aio_read -v 65532 8 | aio_flush
qcow2 | aio_read -C 0 4k
qcow2 | aio_read -i 0 4k | aio_read | aio_read 0 | aio_read x 4 | aio_read -Z 0 1 | aio_read -P 300 0 1
qcow2 | aio_read 0 3G
qcow2 | aio_read 0 2M | aio_flush | aio_read -q 0 4k | aio_read 0 1k 1k | aio_flush | length
qcow2 | aio_write 0 4k | aio_flush | aio_write -P 2 4k 1k 1k | aio_flush | read -P 2 4k 2k | aio_write -z 64k 64k
qcow2 | aio_flush
qcow2 | aio_write -zu 64k 64k | aio_flush | aio_write -u 0 64k | aio_write -z 0 1k 1k | aio_write -zP 3 0 1k
qcow2 | aio_flush
qcow2 | aio_write -i 0 4k | aio_write -f 0 4k | aio_flush | aio_write 0 2M | aio_flush | aio_write | aio_write 0
qcow2 | aio_write -x 0 1 | aio_write 0 x | aio_write -z 0 x | aio_write -z 0 3G | aio_flush | aio_write -C 0 4k
qcow2 | aio_flush
qcow2 | aio_write -q 0 4k | aio_write -P 300 0 1 | aio_write x 1 | aio_write -iz 0 1 | aio_flush | aio_flush 1
raw | aio_read 0 4k | quit | length
raw | aio_write -P 5 0 4k | close | length
raw | aio_write -P 5 0 4k | aio_flush | aio_read -P 5 0 4k | aio_flush
vdi | aio_write -P 5 0 4k | aio_flush | aio_read -P 5 0 4k | aio_flush
vmdk | aio_write -P 5 0 4k | aio_flush | aio_read -P 5 0 4k | aio_flush
"""

STATE = r"""
qcow2 | alloc | alloc 0 | alloc 0 1M | alloc 64k 64k | alloc 64k | alloc 1 512 | alloc 0 x | alloc x | alloc 0 1
qcow2 | a 0 513
qcow2 | alloc 65024 64k | alloc 2M | alloc 2M 512 | alloc 1023k 2k | alloc 0 0 | alloc 1 2 3 | alloc 0 2G | alloc 0 1T
qcow2 | map | map 1 | map -x | length | l | length 1 | info | i | info 1 | flush | f | flush x | flush -x
qcow2 | map | write -z 256k 64k | map
raw | map | length | info | alloc 0 1M | alloc 0 2M
vdi | map | length | info | alloc 0 3M | truncate 4M | flush
vmdk | map | length | alloc 0 1M | truncate 4M | flush
top | map | length | info | alloc 0 1M | alloc 64k 64k | alloc 512k 128k
qcow2 | truncate | truncate 2M | length | map | truncate 1M | t x | truncate -m off 2M | truncate -m full 3M | length
qcow2 | truncate -m foo 3M | truncate -m full 512k | truncate -m metadata 4M | truncate -m falloc 5M | length
qcow2 | truncate -x 2M | truncate 1 2 | truncate 1000 | truncate 1537 | truncate 8E | truncate 1 2 3 4 | truncate -m
raw | truncate 1000 | length | truncate 2M | length | truncate -m metadata 3M | truncate -m full 3M | length | map
qcow2 | quit | length
qcow2 | q 1 | length
qcow2 | length | quit
qcow2 | close | length | close | close 1
none | length | open qcow2.img | length | close | length | open -r raw.img | length | write 0 1
none | read 0 1 | help read | flush | info | map | aio_flush | sleep 1 | reopen | break a b | alloc 0 | truncate 0
none | sigraise 0
none | aio_read 0 1 | discard 0 1 | wait_break x | remove_break x | resume x | close | read | write | help
qcow2 | open | open qcow2.img | open x y | open -x | length
none | open nothing | open -f x | open -t foo qcow2.img | open -d foo qcow2.img | open -i foo qcow2.img | length
none | open -o driver=raw qcow2.img | length | info
none | open -o driver=foo qcow2.img | open -o driver=qcow2,file.filename=qcow2.img | length
none | open -o file.filename=qcow2.img | length
none | open -o foo=1 qcow2.img | open -rU qcow2.img | length | write 0 1
none | open -U qcow2.img | open -Cr qcow2.img | open -s qcow2.img | length | write -P 3 64k 1 | info
none | open -k qcow2.img | open -kn qcow2.img | length
none | open -o driver=raw -o driver=qcow2 qcow2.img | length
none | open -o read-only=on qcow2.img | open -u qcow2.img | open -o | open -r | open -o force-share=on qcow2.img
none | open -o cache.direct=on qcow2.img | close | open -t none qcow2.img | close | open -n raw.img | length
none | open -o lazy-refcounts=on qcow2.img | length | close | open -o lazy-refcounts=foo qcow2.img
none | open -o size=512,driver=raw qcow2.img | length | close | open -o driver=raw,size=4k,offset=1k qcow2.img
none | length
none | open -d off qcow2.img | discard 64k 64k | map
qcow2 | reopen 1 2 | reopen | reopen -x | reopen -r | write 0 1 | reopen -w | write 0 1 | reopen -rw | reopen -wr
qcow2 | reopen -c none | reopen -c foo | reopen -o foo=1 | reopen -o lazy-refcounts=on | write 0 64k | info
qcow2 | reopen -r -o read-only=on | reopen -c none -o cache.direct=on | reopen -o file.filename=x | reopen foo
qcow2 | reopen -o driver=raw | read -P 0x11 64k 64k | reopen -c writeback | write -P 3 0 64k | read -P 3 0 64k
raw | reopen -r | write 0 1 | reopen -w | write 0 1 | reopen -o size=512
-r qcow2 | write 0 1 | reopen -w | write 0 1 | reopen -r | write 0 1
qcow2 | help | help a b | help nonsense | help -x
qcow2 | nonsense | read 0 1 | length; length | "length" | LENGTH
qcow2 | help abort | help aio_flush | help aio_read | help aio_write | help alloc | help break | help close
qcow2 | help discard
qcow2 | help flush | help help | help info | help length | help map | help open | help quit | help read | help readv
qcow2 | help remove_break | help reopen | help resume | help sigraise | help sleep | help truncate | help wait_break
qcow2 | help write | help writev | help r | help w | help q | help o | help c | help f | help t | help i | help l
qcow2 | help d | help a
"""

FAULTS = r"""
qcow2 | sleep | sleep x | sleep 1 | sleep 1 2 | sleep -5 | sleep 010 | sleep 0x1 | sleep 0x
qcow2 | sigraise | sigraise x | sigraise 0 | sigraise 99 | sigraise -1 | sigraise 3G | sigraise 65 | abort 1
qcow2 | break | break x | break x y | break l2_load y | resume | resume x | wait_break | remove_break | remove_break x
raw | break a b | resume b | remove_break b
"""

BLKDEBUG = r"""
blkdebug::qcow2.img | break write_aio A | aio_write 0 512 | wait_break A | length | sleep 5 | resume A | aio_flush
blkdebug::qcow2.img | break foo B | remove_break Z | resume Z | break write_aio A | remove_break A | write 0 512
blkdebug::qcow2.img | break l2_load A | break l2_load A | remove_break A | remove_break A | aio_write 0 1 | aio_flush
blkdebug::qcow2.img | break write_aio A | aio_write 0 1k | wait_break A | resume B | resume A | aio_flush | resume A
blkdebug::qcow2.img | break read_aio A | aio_read -P 17 64k 1k | wait_break A | map | resume A | aio_flush | info
blkdebug:once:qcow2.img | read 64k 512 | read 64k 512 | write 0 512 | aio_read 64k 512 | aio_flush
blkdebug:always:qcow2.img | read 64k 512 | aio_read 64k 512 | aio_flush | readv 64k 512 | write 64k 512 | read 0 512
blkdebug:full:qcow2.img | write 256k 64k | aio_write 256k 64k | aio_flush | writev 256k 1k | write -z 64k 64k
blkdebug:states:qcow2.img | read 64k 1k | read 64k 1k | read 64k 1k | write 64k 1k | read 64k 1k
blkdebug:nothing:qcow2.img | length
blkdebug:broken:qcow2.img | length
blkverify:raw.img:qcow2.img | read 0 512 | read 128k 512 | length
"""

FAULT_FILES = {
    "once": '[inject-error]\nevent = "read_aio"\nerrno = "28"\nonce = "on"\n',
    "always": '[inject-error]\nevent = "read_aio"\nerrno = "5"\n',
    "full": '[inject-error]\nevent = "cluster_alloc"\nerrno = "28"\n',
    "states": (
        '[set-state]\nstate = "1"\nevent = "read_aio"\nnew_state = "2"\n'
        '[inject-error]\nevent = "read_aio"\nstate = "2"\nerrno = "12"\nonce = "on"\n'
    ),
    "broken": "[inject-error\n",
}
"""The rules that those sessions name."""

TREES = r"""
driver=qcow2,file.driver=blkdebug,file.image.filename=qcow2.img,file.inject-error.0.event=read_aio,file.inject-error.0.errno=5
driver=qcow2,file.driver=blkdebug,file.image.filename=qcow2.img,file.inject-error.0.event=l2_load
driver=raw,file.driver=blkdebug,file.image.filename=raw.img,file.inject-error.0.event=none,file.inject-error.0.iotype=read
driver=qcow2,file.driver=blkverify,file.test.filename=qcow2.img,file.raw.filename=qcow2.img
driver=blkdebug,image.filename=raw.img
driver=raw,file.driver=blkdebug,file.x-image=raw.img,file.inject-error.0.event=pwritev
driver=vdi,file.driver=blkdebug,file.image.filename=vdi.img,file.inject-error.0.event=pwritev,file.inject-error.0.errno=28
driver=vmdk,file.driver=blkdebug,file.image.filename=vmdk.img,file.inject-error.0.event=pwritev,file.inject-error.0.errno=28
driver=qcow2,file.filename=qcow2.img,read-only=on
driver=null-co,size=1M,read-zeroes=on
json:{"driver":"qcow2","file":{"driver":"file","filename":"qcow2.img"}}
"""
"""Behind --image-opts (or as a name), with a few reads and writes; see `test_trees`."""

OPTIONS = r"""
-c length none
-c length nothing
-f foo -c length qcow2.img
-f qcow2 -c length raw.img
-f raw -c length qcow2.img
-t foo qcow2.img
-d foo qcow2.img
-i foo qcow2.img
-T foo -c length qcow2.img
-Cr -c length qcow2.img
-U -c length qcow2.img
-k -c length qcow2.img
-m -k -n -c length qcow2.img
-i io_uring -c length qcow2.img
-i native -n -c length qcow2.img
-i native -t directsync -c length qcow2.img
-i native -c length nothing
-c length raw.img
-c "write 0 512" raw.img
--image-opts -c length driver=qcow2,file.filename=qcow2.img
--image-opts -f raw -c length driver=qcow2,file.filename=qcow2.img
--object secret,id=a,data=b -c length qcow2.img
--object foo,id=a,data=b -c length qcow2.img
qcow2.img -c length
--cmd length --cmd=length --format=qcow2 qcow2.img
-c "read 0 8M" -c length qcow2.img
-c length -c "read 0 8M" qcow2.img
-c quit -c length qcow2.img
-c "" -c " " -c length qcow2.img
--snapshot -c "write 0 512" qcow2.img
--read-only --force-share --nocache -c length qcow2.img
"""

INPUT = (
    "read -q 0 512\nlength",
    "read 0 8M\n\n  \nlength\n",
    "foo\n",
    "length\nquit\nlength\n",
    '# comment\n"length"\n length\n\tlength\nlength \nlength\r\n',
    "length\nread -P 1 0 512\nlength\n",
    "",
    "\n",
    "help\nhelp read\n",
    "write -P 3 0 4k\nread -P 3 0 4k\nread -P 4 0 4k\nread -v 0 16\n",
    "caf\u00e9\nlength\n",
)
"""What is given to both on standard input, with the image qcow2."""
