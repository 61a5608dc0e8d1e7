"""The command lines that qemu-img and imgtools are both given; each line is one case.

Several commands of one case are joined by " && " and run in the same directory, whether or not the one before
succeeded. The images that they name are made by `pictures` in test_differential.
"""

from tests.cli.chain_commands import CHAINS
from tests.cli.option_trees import OPTIONS

STANDARD = r"""
--
--foo
-Z
-Z info
foo
foo --help
--foo info base.qcow2
-T x info base.qcow2
-q info base.qcow2
-- info base.qcow2
--trace=foo info base.qcow2
-T
"""

INFO = r"""
info
info base.qcow2
info top.qcow2
info --backing-chain top.qcow2
info --output=json base.qcow2
info --output=json top.qcow2
info --output=json --backing-chain top.qcow2
info --output=human top.qcow2
info --output json base.qcow2
info --out=json base.qcow2
info --backing top.qcow2
info disk.raw
info -f raw base.qcow2
info -fraw base.qcow2
info --format=raw base.qcow2
info --format raw base.qcow2
info -f qcow2 disk.raw
info -f vdi base.qcow2
info -U base.qcow2
info -Uf qcow2 base.qcow2
info base.qcow2 -U
info snap.qcow2
info --output=json snap.qcow2
info states.qcow2
info --output=json states.qcow2
info v2.qcow2
info --output=json v2.qcow2
info compressed.qcow2
info --output=json compressed.qcow2
info dirty.qcow2
info --output=json dirty.qcow2
info disk.vdi
info --output=json disk.vdi
info disk.vmdk
info --output=json disk.vmdk
info odd.raw
info empty.raw
info --output=json empty.raw
info nothing
info ''
info .
info --output=xml base.qcow2
info --output
info -f
info -Uf
info --object secret,id=a,data=b base.qcow2
info --object foo base.qcow2
info --bogus base.qcow2
info -Zx
info base.qcow2 -Zx
info base.qcow2 -U -Zx
info base.qcow2 -U disk.raw -Zx
info -fraw -Zq
info -f raw -Zq
info -UZ
info base.qcow2 --=
info -- -f
info -
info -: base.qcow2
info --output json --Z
info -U- base.qcow2
info --f raw base.qcow2
info --o=json base.qcow2
info --image-opts=3 base.qcow2
info base.qcow2 disk.raw
info -f foo base.qcow2
info --image-opts driver=qcow2,file.filename=base.qcow2
info --image-opts driver=raw,file.filename=base.qcow2
info --image-opts driver=qcow2,file.driver=file,file.filename=base.qcow2
info --image-opts file.filename=base.qcow2
info --image-opts -f raw driver=raw,file.filename=base.qcow2
info --image-opts driver=foo,file.filename=base.qcow2
info broken-backing.qcow2
info --backing-chain broken-backing.qcow2
info --output=json --backing-chain broken-backing.qcow2
info truncated.qcow2
info text.txt
info file:base.qcow2
"""

CREATE = r"""
create
create new
create new 1M
create -q new 1M
create -f raw new 1M && info new
create -f qcow2 new 1M && info new && check new
create -f qcow2 new 1M && info --output=json new
create -f vdi new 1M && info new
create -f vmdk new 1M
create new 0
create new 1
create new 1.5k
create -f raw new 7E
create file:new 1M && info new
create new 1.0
create new 1.5
create new 1x
create new 1kk
create new ''
create new 0x1000
create new 1b
create new 1B
create new 1K
create new 1m
create new 1G
create new 1T
create new 9E
create new 8E
create new -1
create -- new -1
create new 10 20
create new 10 20 30
create -f foo new 1M
create -f qcow2
create -f
create --bogus new 1M
create -Z new 1M
create --b new 1M
create /nothing/new 1M
create . 1M
create -f qcow2 /nothing/new 1M
create -f qcow2 new 7E
create foo:bar 1M
create -f qcow2 foo:bar 1M
create -f qcow2 -f raw new 1M
create -f qcow2 -o '' new 1M
create -f qcow2 -o , new 1M
create -f qcow2 -o ,, new 1M
create -f qcow2 -o a=1, new 1M
create -f qcow2 -o ,a=1 new 1M
create -f qcow2 -o a=1,, new 1M
create -f qcow2 -o foo=1 new 1M
create -f qcow2 -o foo new 1M
create -f qcow2 -o =3 new 1M
create -f qcow2 -o lazy_refcounts new 1M
create -f qcow2 -o nolazy_refcounts new 1M
create -f qcow2 -o lazy_refcounts=maybe new 1M
create -f qcow2 -o lazy_refcounts=yes new 1M
create -f qcow2 -o lazy_refcounts=true new 1M
create -f qcow2 -o lazy_refcounts=on,lazy_refcounts=off new 1M
create -f qcow2 -o lazy_refcounts=on -o cluster_size=4k new 1M && info new
create -f qcow2 -o size=1M new
create -f qcow2 -o size=1M new 1M
create -f qcow2 -o size=-1 new
create -f qcow2 -o size=1x new
create -f qcow2 -o size=99999999999E new
create -f qcow2 -o refcount_bits=x new 1M
create -f qcow2 -o refcount_bits=7 new 1M
create -f qcow2 -o refcount_bits=0 new 1M
create -f qcow2 -o refcount_bits=128 new 1M
create -f qcow2 -o refcount_bits=1 new 1M && info new
create -f qcow2 -o refcount_bits=64 new 1M && check new
create -f qcow2 -o cluster_size=7 new 1M
create -f qcow2 -o cluster_size=256 new 1M
create -f qcow2 -o cluster_size=4M new 1M
create -f qcow2 -o cluster_size=512 new 1M && info new && check new
create -f qcow2 -o cluster_size=2M new 1M && info new && check new
create -f qcow2 -o compat=foo new 1M
create -f qcow2 -o compat=v2 new 1M && info new
create -f qcow2 -o compat=v3 new 1M && info new
create -f qcow2 -o compat=0.10 new 1M && info new
create -f qcow2 -o compat=1.1 new 1M && info new
create -f qcow2 -o compat=0.10,lazy_refcounts=on new 1M
create -f qcow2 -o compat=0.10,refcount_bits=1 new 1M
create -f qcow2 -o compat=0.10,compression_type=zstd new 1M
create -f qcow2 -o compression_type=zstd new 1M && info new
create -f qcow2 -o compression_type=foo new 1M
create -f qcow2 -o preallocation=foo new 1M
create -f qcow2 -o preallocation= new 1M
create -f qcow2 -o cluster_size=0 new 1M
create -f qcow2 -o refcount_bits=0x10 new 1M && info new
create -f qcow2 -o refcount_bits=010 new 1M && info new
create -f qcow2 -o refcount_bits=0b1 new 1M
create -f qcow2 -o refcount_bits=1_6 new 1M
create -f qcow2 -o refcount_bits=99999999999999999999 new 1M
create -f qcow2 -u -b nothing -F foo new 1M
create -f '' new 1M
create -f vdi new 1P
create -f raw /dev/full 1M
create -f qcow2 -o preallocation=off new 1M
create -f qcow2 -o preallocation=metadata new 1M && info new && check new
create -f qcow2 -o preallocation=falloc new 1M && info new && check new
create -f qcow2 -o preallocation=full new 1M && info new && check new
create -f qcow2 -o nocow=on new 1M
create -f qcow2 -o extent_size_hint=1M new 1M
create -f qcow2 -o encryption=off new 1M
create -f qcow2 -o data_file_raw=on new 1M
create -f qcow2 -o help
create -f qcow2 -o '?'
create -f qcow2 -o help new
create -f qcow2 -o help new 1M
create -f qcow2 -o help,size=1M
create -f qcow2 -o size=1M,help
create -o help
create -o help new
create -f raw -o help
create -f vdi -o help
create -f vdi -o help new
create -f vmdk -o help
create -f vmdk -o help new
create -f foo -o help
create -f qcow2 -o size=help new
create -f qcow2 -b base.qcow2 new
create -f qcow2 -b base.qcow2 -F qcow2 new && info new && check new
create -f qcow2 -b base.qcow2 -F qcow2 new 4M && info --output=json new
create -f qcow2 -b base.qcow2 -F qcow2 -o cluster_size=4k new && map --output=json new
create -f qcow2 -b base.qcow2 -F foo new
create -f qcow2 -b disk.raw -F raw new && info --backing-chain new
create -f qcow2 -b nothing -F qcow2 new
create -f qcow2 -b nothing -F qcow2 -u new
create -f qcow2 -b nothing -F qcow2 -u new 1M && info new
create -f qcow2 -b a,b -F qcow2 -u new 1M && info new
create -f qcow2 -b nothing -u new 1M
create -f qcow2 -b nothing new 1M
create -f qcow2 -b '' new 1M
create -f qcow2 -b new new 1M
create -f qcow2 -F raw new 1M
create -f raw -b base.qcow2 new 1M
create -f raw -F raw new 1M
create -f vdi -b base.qcow2 new 1M
create -f vdi -F raw new 1M
create -f qcow2 -o backing_file=base.qcow2,backing_fmt=qcow2 new
create -f qcow2 -o backing_file=base.qcow2 new
create -f qcow2 -o backing_file=a,,b,backing_fmt=qcow2 new 1M
create -f qcow2 -o backing_file=base.qcow2,backing_fmt=qcow2,preallocation=full new
create -f qcow2 -b truncated.qcow2 -F qcow2 new
create -f raw -o preallocation=foo new 1M
create -f raw -o preallocation=off new 1M
create -f raw -o preallocation=falloc new 1M
create -f raw -o preallocation=full new 1M
create -f raw -o preallocation=metadata new 1M
create -f raw -o cluster_size=4k new 1M
create -o nocow=on new 1M
create -o extent_size_hint=1M new 1M
create -f vdi -o static=on new 1M && info new
create -f vdi -o static=maybe new 1M
create -f vdi -o static new 1M
create -f vmdk -o subformat=foo new 1M
create -f vmdk -o adapter_type=foo new 1M
create -f vmdk -o compat6=maybe new 1M
create -f vmdk -o zeroed_grain=on new 1M
create -f vmdk -o hwversion=abc new 1M
create -f vmdk -o subformat=streamOptimized new 1M
create -f vmdk -o subformat=monolithicFlat new 1M
create -f vmdk -o backing_fmt=raw new 1M
create --object foo new 1M
create --object secret,id=a,data=b new 1M
create 'a,b' 1M
create -f qcow2 'x y' 1M
"""

CHECK = r"""
check
check base.qcow2
check top.qcow2
check compressed.qcow2
check v2.qcow2
check snap.qcow2
check disk.vdi
check disk.vmdk
check disk.qed
check -r all disk.qed
check --output=json disk.qed
check disk.parallels
check -r leaks disk.parallels
check --output=json disk.parallels
check -U -r all base.qcow2
check disk.raw
check -f raw base.qcow2
check -f qcow2 base.qcow2
check -f qcow2 disk.raw
check --output=json base.qcow2
check --output=json top.qcow2
check --output=json compressed.qcow2
check --output=json disk.vdi
check --output=json disk.raw
check --output=json leak.qcow2
check --output=json corrupt.qcow2
check --output=xml base.qcow2
check leak.qcow2
check corrupt.qcow2
check shared.qcow2
check -r leaks shared.qcow2
check -q base.qcow2
check -q leak.qcow2
check -q corrupt.qcow2
check -q --output=json leak.qcow2
check -r leaks leak.qcow2 && check leak.qcow2
check -r all leak.qcow2
check --repair=leaks leak.qcow2
check -r leaks --output=json leak.qcow2
check -q -r leaks leak.qcow2
check -r leaks base.qcow2
check -r all base.qcow2
check -r foo base.qcow2
check -r
check nothing
check base.qcow2 top.qcow2
check -T none base.qcow2
check -T foo base.qcow2
check -U base.qcow2
check -p base.qcow2
check --image-opts driver=qcow2,file.filename=base.qcow2
check broken-backing.qcow2
check truncated.qcow2
check -r leaks disk.raw
"""

MAP = r"""
map
map base.qcow2
map top.qcow2
map disk.raw
map disk.vdi
map disk.vmdk
map odd.raw
map empty.raw
map v2.qcow2
map compressed.qcow2
map snap.qcow2
map --output=json base.qcow2
map --output=json top.qcow2
map --output=json disk.raw
map --output=json odd.raw
map --output=json empty.raw
map --output=json disk.vdi
map --output=json disk.vmdk
map --output=json v2.qcow2
map --output=json compressed.qcow2
map --output=human base.qcow2
map --output=json zeroed.qcow2
map zeroed.qcow2
map --output=json reserved.qcow2
map reserved.qcow2
map --output=json flat.vmdk
map flat.vmdk
compare -s zeroed.qcow2 reserved.qcow2
compare -s reserved.qcow2 reserved.qcow2
measure -O qcow2 reserved.qcow2
info flat.vmdk
info --output=json flat.vmdk
map --output=xml base.qcow2
map -s 32k base.qcow2
map -s 32k -l 64k base.qcow2
map -s 100 -l 1 --output=json base.qcow2
map --start-offset=1M base.qcow2
map --start-offset=8M base.qcow2
map --start-offset=8M --output=json base.qcow2
map --start-offset=100000 --output=json top.qcow2
map --max-length=10 base.qcow2
map --max-length=0 base.qcow2
map --max-length=0 --output=json base.qcow2
map --max-length=100000 --output=json top.qcow2
map --output=json -s 64k -l 9G base.qcow2
map -s x base.qcow2
map -l x base.qcow2
map -s -1 base.qcow2
map -s 9E base.qcow2
map -l 9E base.qcow2
map -f raw base.qcow2
map -f foo base.qcow2
map -U base.qcow2
map nothing
map base.qcow2 top.qcow2
map broken-backing.qcow2
map --image-opts driver=qcow2,file.filename=base.qcow2
map --output=json --image-opts driver=raw,file.filename=disk.raw,offset=65536
map --output=json --image-opts driver=raw,file.filename=disk.raw,offset=65536,size=131072
"""

COMPARE = r"""
compare
compare base.qcow2
compare base.qcow2 base.qcow2 base.qcow2
compare base.qcow2 base.qcow2
compare base.qcow2 top.qcow2
compare top.qcow2 base.qcow2
compare base.qcow2 base.raw
compare base.raw base.qcow2
compare base.qcow2 compressed.qcow2
compare base.raw disk.raw
compare base.raw base.raw
compare empty.raw disk.raw
compare disk.raw empty.raw
compare empty.raw empty.raw
compare base.qcow2 disk.vdi
compare -s base.qcow2 base.qcow2
compare -s base.qcow2 compressed.qcow2
compare -s base.qcow2 base.raw
compare -s base.qcow2 top.qcow2
compare -s base.raw base.raw
compare -s base.raw disk.raw
compare -s base.qcow2 larger.qcow2
compare base.qcow2 larger.qcow2
compare larger.qcow2 base.qcow2
compare longer.raw disk.raw
compare disk.raw longer.raw
compare -q base.qcow2 top.qcow2
compare -q base.qcow2 base.qcow2
compare -q base.qcow2 larger.qcow2
compare -p base.qcow2 top.qcow2
compare -p empty.raw empty.raw
compare -p base.qcow2 nothing
compare -p nothing base.qcow2
compare -p -T foo base.qcow2 base.qcow2
compare -p -q base.qcow2 base.qcow2
compare -s -p base.qcow2 larger.qcow2
compare -f raw base.qcow2 base.qcow2
compare -f raw -F raw base.qcow2 base.qcow2
compare -f foo base.qcow2 base.qcow2
compare -F foo base.qcow2 base.qcow2
compare -f qcow2 disk.raw base.qcow2
compare base.qcow2 nothing
compare nothing base.qcow2
compare -q base.qcow2 nothing
compare -T none base.qcow2 base.qcow2
compare -T foo base.qcow2 base.qcow2
compare -U base.qcow2 base.qcow2
compare -t none base.qcow2 base.qcow2
compare --image-opts driver=qcow2,file.filename=base.qcow2 driver=raw,file.filename=base.raw
compare --format raw base.qcow2 base.qcow2
compare broken-backing.qcow2 base.qcow2
"""

MEASURE = r"""
measure
measure base.qcow2
measure base.qcow2 top.qcow2
measure -O qcow2 disk.raw
measure -O qcow2 odd.raw
measure -O qcow2 empty.raw
measure -O qcow2 disk.vdi
measure -O raw base.qcow2
measure -O raw disk.raw
measure -O raw -o preallocation=bogus disk.raw
measure -O raw compressed.qcow2
measure --output=json -O raw base.qcow2
measure --output=json -O qcow2 disk.raw
measure --output=json --size 1G
measure --output=human --size 1G
measure --output=xml --size 1G
measure --size=1G
measure --size 1G -O qcow2
measure --size 1T -O qcow2
measure --size 1T -O qcow2 -o cluster_size=2M
measure --size 1T -O qcow2 -o cluster_size=2M,refcount_bits=64
measure --size 1G -O qcow2 -o cluster_size=512
measure --size 1G -O qcow2 -o preallocation=full
measure --size 1G -O qcow2 -o preallocation=metadata
measure --size 1G -O qcow2 -o compat=0.10
measure --size 0
measure --size 0 -O qcow2
measure --size 1000 -O raw
measure --size 1000 -O qcow2
measure --size 8E
measure --size=-1
measure --size=foo
measure --size=1M base.qcow2
measure --size=1M -f raw
measure --size=1M -l foo
measure --size=1M --image-opts
measure --size=1M -O foo
measure --size=1M -O vdi
measure --size=1M -O vmdk
measure -O vdi disk.raw
measure -f foo base.qcow2
measure -f raw -O qcow2 base.qcow2
measure nothing
measure -O qcow2 -o cluster_size=foo --size 1M
measure -O qcow2 -o cluster_size=7 --size 1M
measure -O qcow2 -o cluster_size=0 --size 1M
measure -O '' --size 1M
measure -O qcow2 -o foo=1 --size 1M
measure -O qcow2 -o , --size 1M
measure -O qcow2 -o help
measure -O qcow2 -l foo base.qcow2
measure -O raw -o preallocation=full base.qcow2
measure -O qcow2 -o preallocation=full disk.raw
measure -U -f qcow2 -O raw base.qcow2
measure --image-opts -O raw driver=qcow2,file.filename=base.qcow2
measure -O qcow2 base.qcow2
measure -O qcow2 --output=json top.qcow2
"""

DD = r"""
dd
dd if=disk.raw
dd of=new
dd foo
dd if=disk.raw of=new foo=1
dd if=disk.raw of=new obs=3
dd of=new if=disk.raw bs
dd if=disk.raw of=new bs=0
dd if=disk.raw of=new bs=x
dd if=disk.raw of=new bs=-1
dd if=disk.raw of=new bs=2G
dd if=disk.raw of=new bs=4G
dd if=disk.raw of=new count=x
dd if=disk.raw of=new count=-1
dd if=disk.raw of=new skip=x
dd if=disk.raw of=new && compare -f raw -F raw disk.raw new
dd if=disk.raw of=new bs=1M count=1 && compare -f raw -F raw disk.raw new
dd if=disk.raw of=new bs=4k count=17 && info -f raw --output=json new
dd if=disk.raw of=new bs=4k skip=17 && info -f raw --output=json new
dd if=disk.raw of=new bs=4k skip=2 count=4 && info -f raw --output=json new
dd if=disk.raw of=new bs=4k skip=16 count=4 && info -f raw --output=json new
dd if=disk.raw of=new count=0 && info -f raw --output=json new
dd if=disk.raw of=new skip=2048 && info -f raw --output=json new
dd if=disk.raw of=new skip=2049 && info -f raw --output=json new
dd if=disk.raw of=new skip=99999 && info -f raw --output=json new
dd -O qcow2 if=disk.raw of=new bs=64k && compare disk.raw new
dd -f qcow2 -O raw if=base.qcow2 of=new bs=64k && compare base.raw new
dd -O qcow2 if=top.qcow2 of=new bs=64k && compare top.qcow2 new
dd -O vdi if=base.qcow2 of=new bs=64k && compare base.qcow2 new
dd -O foo if=disk.raw of=new
dd -O '' if=disk.raw of=new
dd -f foo if=disk.raw of=new
dd if=nothing of=new
dd if=disk.raw of=/nothing/new
dd if= of=new
dd if=odd.raw of=new && info --output=json -f raw new
dd bs=1k bs=x if=disk.raw of=new
dd -Z if=disk.raw of=new
dd -U if=disk.raw of=new
dd --image-opts if=driver=raw,file.filename=disk.raw of=new
dd --image-opts -f raw if=driver=raw,file.filename=disk.raw of=new
"""

RESIZE = r"""
resize
resize base.qcow2
resize base.qcow2 4M && info base.qcow2 && check base.qcow2
resize base.qcow2 512k
resize --shrink base.qcow2 512k && info base.qcow2 && check base.qcow2
resize base.qcow2 +1M && info base.qcow2
resize base.qcow2 -512k
resize base.qcow2 -- -512k
resize --shrink base.qcow2 -512k && info base.qcow2
resize base.qcow2 -8M
resize base.qcow2 0
resize base.qcow2 foo
resize base.qcow2 +foo
resize base.qcow2 +
resize base.qcow2 +0
resize base.qcow2 1M
resize --preallocation=foo base.qcow2 +1M
resize --preallocation=full base.qcow2 512k
resize --preallocation=full base.qcow2 +1M && info base.qcow2 && check base.qcow2
resize --preallocation=metadata base.qcow2 +1M && info base.qcow2 && check base.qcow2
resize --preallocation=falloc base.qcow2 +1M && check base.qcow2
resize -q base.qcow2 +1M
resize disk.raw 2M && info disk.raw
resize -f raw disk.raw 2M && info disk.raw
resize -f raw --shrink disk.raw 1000 && info disk.raw
resize -f raw disk.raw 1000
resize -f raw disk.raw
resize disk.raw -f raw +1M
resize -f raw disk.raw 8E
resize -f raw /dev/full 2M
resize -f raw disk.raw 2M 3M
resize -f raw --preallocation=metadata disk.raw 4M
resize -f raw --preallocation=full disk.raw 2M && info disk.raw
resize -f raw --preallocation=falloc disk.raw 2M && info disk.raw
resize -f raw --output=json disk.raw 2M
resize -f raw disk.raw +513 && info -f raw disk.raw
resize nothing 1M
resize base.qcow2 top.qcow2 1M
resize base.qcow2 4M --shrink
resize disk.vdi 2M
resize --shrink disk.vdi 512k
resize disk.vmdk 2M
resize snap.qcow2 2M
resize -f foo base.qcow2 2M
resize --image-opts driver=raw,file.filename=disk.raw 2M
"""

BENCH = r"""
bench
bench -c x disk.raw
bench -c 2G disk.raw
bench -c -1 disk.raw
bench -c 1k disk.raw
bench -d x disk.raw
bench -d 1k -c 1 disk.raw
bench -s x disk.raw
bench -S x disk.raw
bench -o x disk.raw
bench -i foo disk.raw
bench -t foo disk.raw
bench --pattern=foo -w disk.raw
bench --pattern=256 -w disk.raw
bench --flush-interval=5 disk.raw
bench --flush-interval=x -w disk.raw
bench --flush-interval=5 -w disk.raw
bench --flush-interval=5 -w -d 2 -c 10 base.qcow2
bench --flush-interval=5 -w -d 2 -c 10 --no-drain base.qcow2
bench -c 0 disk.raw
bench -c 10 base.qcow2
bench -c 010 base.qcow2
bench -c 0x10 base.qcow2
bench -c 10 -q base.qcow2
bench -c 100 -S 64k base.qcow2
bench -c 10 -s 128k base.qcow2
bench -c 3 -s 1k -S 2k base.qcow2
bench -c 5 -s 3 -f raw disk.raw
bench -c 10 -o 4k base.qcow2
bench -c 1 -o 8M -f raw disk.raw
bench -c 1 -s 2M -f raw disk.raw
bench -w -c 10 -f raw disk.raw
bench -w -c 10 -f raw --pattern=7 disk.raw && compare -f raw -F raw disk.raw base.raw
bench -t none -c 10 base.qcow2
bench -i native -c 1 base.qcow2
bench -n -c 1 base.qcow2
bench -n -t directsync -c 1 base.qcow2
bench -i native -t unsafe -c 1 nothing
bench nothing
bench base.qcow2 disk.raw
bench -p base.qcow2
bench -U -c 1 base.qcow2
"""

CONVERT = r"""
convert
convert disk.raw
convert -n disk.raw
convert -S x disk.raw new
convert -S 3 disk.raw new
convert -S 32M disk.raw new
convert -S 512 disk.raw new && compare -f raw -F raw disk.raw new
convert -S 0 disk.raw new && compare -f raw -F raw disk.raw new
convert -m 0 disk.raw new
convert -m 17 disk.raw new
convert -m x disk.raw new
convert -m 16 -W disk.raw new && compare -f raw -F raw disk.raw new
convert -C -c disk.raw new
convert -C -S 4k disk.raw new
convert -C --salvage disk.raw new
convert -C disk.raw new && compare -f raw -F raw disk.raw new
convert --target-image-opts disk.raw new
convert --target-is-zero disk.raw new
convert --skip-broken-bitmaps disk.raw new
convert -o a=b -n disk.raw new
convert -n -o help disk.raw new
convert -o , disk.raw new
convert -T foo disk.raw new
convert -t foo disk.raw new
convert -t none disk.raw new
convert -T none disk.raw new
convert -O foo disk.raw new
convert -O '' disk.raw new
convert -c disk.raw new
convert -c -O vdi disk.raw new
convert -c -O qcow2 -o preallocation=metadata disk.raw new
convert -c -O qcow2 -o encryption=on disk.raw new
convert -c -O qcow2 -o encrypt.format=luks disk.raw new
convert -B base.qcow2 disk.raw new
convert -F raw disk.raw new
convert -B base.qcow2 -O qcow2 disk.raw new
convert -B base.qcow2 -F qcow2 -O qcow2 top.qcow2 new && compare top.qcow2 new && info new
convert -B base.qcow2 -F qcow2 -O qcow2 disk.raw top.qcow2 new
convert -B base.qcow2 -F qcow2 -O qcow2 top.qcow2 new && map --output=json new
convert -B top.qcow2 -F qcow2 -O qcow2 base.qcow2 new && map --output=json new && compare base.qcow2 new
convert -B base.qcow2 -F qcow2 -O qcow2 larger.qcow2 new && map --output=json new && compare larger.qcow2 new
convert -o backing_file=base.qcow2 -O qcow2 top.qcow2 new
convert -o backing_file=base.qcow2,backing_fmt=qcow2 -O qcow2 top.qcow2 new && compare top.qcow2 new
convert -n disk.raw nothing
convert -n top.qcow2 disk.raw
convert -n base.qcow2 disk.raw && compare base.qcow2 disk.raw
convert -n -O qcow2 disk.raw base.qcow2 && compare base.qcow2 disk.raw
convert -n -O qcow2 disk.raw base.raw
convert -n -c -O raw disk.raw base.raw
convert -l foo base.qcow2 new
convert -l snapshot.id=7 base.qcow2 new
convert -l foo base.qcow2 disk.raw new
convert -r x disk.raw new
convert -r 1G disk.raw new
convert --bitmaps disk.raw new
convert --bitmaps disk.raw base.qcow2 new
convert --bitmaps -O qcow2 base.qcow2 new
convert -n --target-is-zero -B base.qcow2 disk.raw new
convert -F qcow2 -O qcow2 base.qcow2 new
convert -B nothing -F qcow2 -O qcow2 base.qcow2 new
convert -O qcow2 -o size=1M top.qcow2 new && info new
convert -O qcow2 -o foo=1 base.qcow2 new
convert -O qcow2 -o cluster_size=7 base.qcow2 new
convert -O qcow2 -o cluster_size=foo base.qcow2 new
convert -O raw -o preallocation=foo base.qcow2 new
convert -O qcow2 -o cluster_size=4k,compat=0.10 base.qcow2 new && info new && compare base.qcow2 new
convert -O qcow2 -o help
convert -O qcow2 -o help base.qcow2 new
convert -o help
convert -O foo -o help
convert disk.raw /nothing/new
convert nothing new
convert disk.raw nothing new
convert -f foo disk.raw new
convert --image-opts -f raw driver=raw,file.filename=disk.raw new
convert --image-opts driver=raw,file.filename=disk.raw new && compare -f raw -F raw disk.raw new
convert -n --target-image-opts disk.raw driver=raw,file.filename=base.raw && compare disk.raw base.raw
convert -q disk.raw new
convert -p -q disk.raw new
convert -p nothing new
convert -p -T foo disk.raw new
convert -p -O foo disk.raw new
convert -p empty.raw new
convert disk.raw base.qcow2 new && info new
convert -O qcow2 base.qcow2 odd.raw odd.raw new && info new
convert -O qcow2 base.qcow2 new && compare -s base.qcow2 new && check new && map --output=json new
convert -O qcow2 disk.raw new && compare disk.raw new && check new && map --output=json new
convert -O qcow2 top.qcow2 new && compare top.qcow2 new && check new
convert -O qcow2 -c disk.raw new && compare disk.raw new && check new && info new
convert -O qcow2 -c -o compression_type=zstd disk.raw new && compare disk.raw new && info new
convert -O qcow2 -o preallocation=metadata disk.raw new && compare disk.raw new && check new
convert -O vdi disk.raw new && compare disk.raw new && check new && info new
convert -O vmdk disk.raw new && compare disk.raw new && check new
convert -O raw disk.vdi new && compare disk.vdi new
convert -O raw disk.vmdk new && compare disk.vmdk new
convert -O raw compressed.qcow2 new && compare base.qcow2 new
convert -O vdi base.qcow2 foo:bar
convert base.qcow2 base.qcow2
convert -b base.qcow2 -O qcow2 top.qcow2 new
convert broken-backing.qcow2 new
convert --bogus disk.raw new
convert -U -O qcow2 base.qcow2 new
convert --object secret,id=a,data=b disk.raw new
"""

SNAPSHOT = r"""
snapshot
snapshot base.qcow2
snapshot -l base.qcow2
snapshot -l snap.qcow2
snapshot -l states.qcow2
snapshot -q -l snap.qcow2
snapshot -U -l snap.qcow2
snapshot -U -c x snap.qcow2
snapshot -l snap.qcow2 base.qcow2
snapshot -l -l snap.qcow2
snapshot -c a -d b snap.qcow2
snapshot -c new base.qcow2 && snapshot -l base.qcow2 && check base.qcow2 && compare base.qcow2 base.raw
snapshot -c new snap.qcow2 && snapshot -d first snap.qcow2 && snapshot -l snap.qcow2 && check snap.qcow2
snapshot -c '' base.qcow2 && snapshot -l base.qcow2 && snapshot -d '' base.qcow2 && check base.qcow2
snapshot -c first snap.qcow2 && snapshot -d first snap.qcow2 && snapshot -l snap.qcow2
snapshot -c new top.qcow2 && check top.qcow2 && snapshot -d new top.qcow2 && check top.qcow2
snapshot -c new compressed.qcow2 && check compressed.qcow2 && map --output=json compressed.qcow2
snapshot -c new v2.qcow2 && resize v2.qcow2 2M && resize --shrink v2.qcow2 512k && check v2.qcow2
snapshot -c a base.qcow2 && resize base.qcow2 2M && snapshot -a a base.qcow2 && info base.qcow2 && check base.qcow2
snapshot -c a base.qcow2 && resize --shrink base.qcow2 512k && snapshot -a 1 base.qcow2 && compare base.qcow2 base.raw
snapshot -a first snap.qcow2 && check snap.qcow2 && compare snap.qcow2 base.raw
snapshot -a nope snap.qcow2
snapshot -a a disk.vdi
snapshot -U -d first snap.qcow2
snapshot -a '' snap.qcow2
snapshot -d nope snap.qcow2
snapshot -d 1 snap.qcow2
snapshot -c x nothing
snapshot -c x disk.raw
snapshot -d x disk.raw
snapshot -l disk.raw
snapshot -c x disk.vdi
snapshot -f qcow2 -l snap.qcow2
snapshot --foo snap.qcow2
snapshot -c
snapshot --image-opts -l driver=qcow2,file.filename=snap.qcow2
snapshot --image-opts -c new driver=qcow2,file.filename=base.qcow2 && snapshot -l base.qcow2
create -f qcow2 -o refcount_bits=1 new 1M && snapshot -c x new && snapshot -l new
convert -l first -O raw snap.qcow2 new && compare -f raw -F raw new base.raw
convert -l 2 -O raw snap.qcow2 new && compare -f raw -F raw new base.raw
convert -l snapshot.id=1 -O raw snap.qcow2 new
convert -l snapshot.name=first -O qcow2 snap.qcow2 new && info new
convert -l snapshot.id=2,snapshot.name=first -O raw snap.qcow2 new
convert -l snapshot.foo=1 -O raw snap.qcow2 new
convert -l snapshot.id=1,foo=1 -O raw snap.qcow2 new
convert -l '' -O raw snap.qcow2 new
convert -l first -O raw disk.raw new
measure -l first -O raw snap.qcow2
measure -l nope -O raw snap.qcow2
measure -l snapshot.x=1 -O raw snap.qcow2
"""

BITMAP = r"""
bitmap
bitmap --add broken-backing.qcow2 a && info broken-backing.qcow2
bitmap base.qcow2
bitmap base.qcow2 b
bitmap --add base.qcow2
bitmap --add base.qcow2 b c
bitmap --add base.qcow2 b && info base.qcow2 && check base.qcow2
bitmap --add base.qcow2 b && bitmap --add base.qcow2 b
bitmap --add -g 1000 base.qcow2 b
bitmap --add -g 256 base.qcow2 b
bitmap --add -g 4G base.qcow2 b
bitmap --add -g x base.qcow2 b
bitmap --add -g 2G base.qcow2 b && info base.qcow2
bitmap --add -g 512 --disable base.qcow2 b && info base.qcow2 && bitmap --enable base.qcow2 b && info base.qcow2
bitmap -g 64k --remove base.qcow2 b
bitmap --remove base.qcow2 b
bitmap --clear base.qcow2 b
bitmap --enable base.qcow2 b
bitmap --disable base.qcow2 b
bitmap --merge a base.qcow2 b
bitmap --add base.qcow2 b && bitmap --merge a base.qcow2 b
bitmap --add --add base.qcow2 b && info base.qcow2
bitmap --add --remove base.qcow2 b && info base.qcow2
bitmap --add base.qcow2 a && bitmap --add --merge a --disable base.qcow2 b && info base.qcow2 && check base.qcow2
bitmap --add base.qcow2 ''
bitmap -b disk.raw --add base.qcow2 b
bitmap -F raw --add base.qcow2 b
bitmap --add base.qcow2 b && bitmap -b disk.raw -F raw --merge x base.qcow2 b
bitmap --add base.qcow2 b && bitmap -b nothing -F raw --merge x base.qcow2 b
bitmap --add base.qcow2 b && bitmap -b disk.raw -F foo --merge x base.qcow2 b
bitmap --add base.qcow2 b && bitmap --add larger.qcow2 c && bitmap -b larger.qcow2 --merge c base.qcow2 b
bitmap --clear -f raw disk.raw b
bitmap --merge x disk.raw b
bitmap --add base.qcow2 b && bitmap --merge a -b top.qcow2 base.qcow2 b
bitmap --add base.qcow2 b && bitmap --add larger.qcow2 b && convert -n --bitmaps -O qcow2 base.qcow2 larger.qcow2
bitmap --add nothing b
bitmap -q --add base.qcow2 b
bitmap --foo base.qcow2 b
bitmap --image-opts --add driver=qcow2,file.filename=base.qcow2 b && info base.qcow2
bitmap --image-opts -f qcow2 --add driver=qcow2,file.filename=base.qcow2 b
bitmap --add base.qcow2 b && resize base.qcow2 2M && resize --shrink base.qcow2 512k && check base.qcow2
bitmap --add base.qcow2 b && snapshot -c s base.qcow2 && snapshot -a s base.qcow2
bitmap --add base.qcow2 b && measure -O qcow2 base.qcow2
bitmap --add -g 512 larger.qcow2 b && measure -O qcow2 -o cluster_size=512 --output=json larger.qcow2
bitmap --add base.qcow2 b && measure -O qcow2 -o compat=0.10 base.qcow2
bitmap --add base.qcow2 b && measure -O raw base.qcow2
bitmap --add base.qcow2 b && convert --bitmaps -O qcow2 base.qcow2 new && info new && check new
bitmap --add --disable base.qcow2 b && convert --bitmaps -O qcow2 -c base.qcow2 new && info new
bitmap --add base.qcow2 b && convert --bitmaps -O raw base.qcow2 new
bitmap --add base.qcow2 b && convert --bitmaps -O qcow2 -o compat=0.10 base.qcow2 new
convert --bitmaps -O qcow2 v2.qcow2 new
convert --bitmaps -O qcow2 inuse.qcow2 new
convert --bitmaps --skip-broken-bitmaps -O qcow2 inuse.qcow2 new && info new
info inuse.qcow2
resize inuse.qcow2 2M
bitmap --clear inuse.qcow2 b0
bitmap --add inuse.qcow2 b0
bitmap --merge b1 inuse.qcow2 b0
bitmap --remove inuse.qcow2 b0 && info inuse.qcow2 && check inuse.qcow2
measure -O qcow2 inuse.qcow2
"""

AMEND = r"""
amend
amend base.qcow2
amend -o compat=0.10
amend -o help
amend -o help base.qcow2
amend -f qcow2 -o help
amend -f qcow2 -o help nosuch
amend -o help nosuch
amend -f vmdk -o help
amend -f nosuch -o help
amend -f raw -o compat=1.1 base.qcow2
amend -o size=1 disk.vmdk
amend -o compat base.qcow2
amend -o compat=1.1 base.qcow2 top.qcow2
amend -o compat=1.1 nosuch
amend -t foo -o compat=1.1 base.qcow2
amend -t none -o compat=0.10 base.qcow2 && info base.qcow2
amend -o compat=0.10 --image-opts driver=qcow2,file.filename=base.qcow2 && info base.qcow2
amend -o compat=1.1 -f qcow2 --image-opts driver=qcow2,file.filename=base.qcow2
amend --force -o compat=v3 v2.qcow2 && info v2.qcow2
amend -o compat=v2 -o size=20M base.qcow2 && info base.qcow2
amend -o nonsense=1 base.qcow2
amend -o cluster_size=1k base.qcow2
amend -o compression_type=zlib base.qcow2
amend -o backing_file=x top.qcow2
amend -o lazy_refcounts=on base.qcow2 && info base.qcow2 && check base.qcow2
amend -o lazy_refcounts=on v2.qcow2
amend -o refcount_bits=3 base.qcow2
amend -o refcount_bits=8,compat=0.10 base.qcow2
amend -o encrypt.state=active base.qcow2
amend -o data_file=x base.qcow2
amend -o compat=0.10 snap.qcow2 && info snap.qcow2
amend --object secret,id=a,data=x -o compat=v3 v2.qcow2
amend --object foo -o compat=v3 v2.qcow2
amend -Z -o compat=v3 v2.qcow2
"""

FORMATS = r"""
info disk.vpc
info --output=json disk.vpc
map --output=json disk.vpc
compare disk.vpc disk.raw
convert -O raw disk.vpc out.raw && compare out.raw disk.raw
info -f vpc disk.raw
info disk.vhdx
info --output=json disk.vhdx
compare disk.vhdx disk.raw
convert -O raw disk.vhdx out.raw && compare out.raw disk.raw
info disk.qcow
info --output=json disk.qcow
map --output=json disk.qcow
compare disk.qcow disk.raw
convert -O raw disk.qcow out.raw && compare out.raw disk.raw
info -f qcow disk.raw
info disk.qed
info --output=json disk.qed
map --output=json disk.qed
compare disk.qed disk.raw
convert -O raw disk.qed out.raw && compare out.raw disk.raw
info -f qed disk.raw
info disk.parallels
map --output=json disk.parallels
compare disk.parallels disk.raw
convert -O raw disk.parallels out.raw && compare out.raw disk.raw
info -f parallels disk.raw
create -f vpc new 10M && info new
create -f vpc -o force_size=on,subformat=fixed new 10M && info -f vpc new
create -f vpc -o subformat=foo new 10M
create -f vhdx -o subformat=foo new 10M
create -f vpc new 3T
create -f vpc -o size=1M new
create -f vhdx new 10M && info new && check new
create -f vhdx -o block_size=3M new 10M
create -f vhdx -o subformat=fixed,log_size=2M new 10M && check new
create -f vhdx new 65T
create -f vhdx -o help
create -f vpc -o help
check disk.vpc
check disk.vhdx
resize disk.vpc 20M
resize disk.vhdx 20M
measure -O vpc disk.raw
measure -O vhdx --size 1M
convert -O vpc -o force_size=on disk.raw new && compare new disk.raw
convert -O vhdx disk.raw new && compare new disk.raw && check new
convert -c -O vpc disk.raw new
convert -c -O vhdx disk.raw new
map disk.vpc
map disk.qed
check -f qcow disk.qcow
snapshot -l disk.vpc
"""

ALL = (
    STANDARD
    + INFO
    + CREATE
    + CHECK
    + MAP
    + COMPARE
    + MEASURE
    + DD
    + RESIZE
    + BENCH
    + CONVERT
    + OPTIONS
    + SNAPSHOT
    + BITMAP
    + AMEND
    + CHAINS
    + FORMATS
)
