"""Command lines about backing chains; see `commands`. They are compared where it is known which tool gives a cluster
which place: after a commit into qcow2 the two need not agree on that, so the disks are compared instead of maps."""

CHAINS = r"""
commit
commit base.qcow2
commit -f raw disk.raw
commit disk.raw
commit nothing
commit ''
commit top.qcow2 upper.qcow2
commit top.qcow2 && info top.qcow2 && check top.qcow2 && info base.qcow2 && compare top.qcow2 base.qcow2
commit -q -d top.qcow2 && map top.qcow2 && compare top.qcow2 base.qcow2
commit -d top.qcow2 && info base.qcow2
commit -b base.qcow2 top.qcow2 && info base.qcow2 && map top.qcow2
commit -b ./base.qcow2 top.qcow2
commit -b nothing top.qcow2
commit -b top.qcow2 top.qcow2
commit -b '' top.qcow2
commit -b file:base.qcow2 top.qcow2
commit -b base.qcow2 upper.qcow2 && info base.qcow2 && compare base.qcow2 upper.qcow2
commit -b middle.qcow2 upper.qcow2 && map upper.qcow2
commit upper.qcow2 && check upper.qcow2 && info middle.qcow2 && compare upper.qcow2 middle.qcow2
commit over-raw.qcow2 && info disk.raw && map over-raw.qcow2 && compare -f qcow2 -F raw over-raw.qcow2 disk.raw
commit over-vmdk.qcow2
commit over-vdi.qcow2
commit broken-backing.qcow2
commit -f raw top.qcow2
commit -f foo top.qcow2
commit -t foo top.qcow2
commit -t none top.qcow2
commit -t directsync top.qcow2
commit -T none top.qcow2
commit -U top.qcow2
commit -r
commit -r x top.qcow2
commit -r -1 top.qcow2
commit -r 0 top.qcow2
commit -r 1G top.qcow2
commit -f qcow2 --image-opts driver=qcow2,file.filename=top.qcow2
commit --image-opts driver=qcow2,file.filename=top.qcow2 && info top.qcow2
commit --image-opts driver=qcow2,read-only=on,file.filename=top.qcow2
commit --image-opts driver=qcow2,file.filename=top.qcow2,backing.read-only=on,backing.file.filename=base.qcow2
commit --image-opts driver=qcow2,file.filename=top.qcow2,backing.driver=raw,backing.file.filename=disk.raw
rebase
rebase top.qcow2
rebase -b base.qcow2
rebase -b base.qcow2 -F qcow2 top.qcow2 base.qcow2
rebase -b base.qcow2 top.qcow2
rebase -b base.qcow2 -F foo top.qcow2
rebase -u -b base.qcow2 -F foo top.qcow2
rebase -b base.qcow2 -F qcow2 top.qcow2 && info top.qcow2 && map top.qcow2
rebase -b larger.qcow2 -F qcow2 top.qcow2 && info top.qcow2 && map top.qcow2 && compare top.qcow2 larger.qcow2
rebase -b disk.raw -F raw top.qcow2 && info top.qcow2 && map top.qcow2
rebase -b '' top.qcow2 && info top.qcow2 && check top.qcow2 && map --output=json top.qcow2
rebase -b '' upper.qcow2 && info upper.qcow2 && check upper.qcow2 && map --output=json upper.qcow2
rebase -b '' -F qcow2 upper.qcow2 && info upper.qcow2
rebase -b middle.qcow2 -F qcow2 upper.qcow2 && info upper.qcow2 && map upper.qcow2
rebase -b base.qcow2 -F qcow2 upper.qcow2 && info upper.qcow2 && compare upper.qcow2 base.qcow2
rebase -b base.qcow2 -F raw over-raw.qcow2 && info over-raw.qcow2
rebase -b disk.raw -F raw over-raw.qcow2 && map over-raw.qcow2
rebase -b top.qcow2 -F qcow2 over-raw.qcow2 && info over-raw.qcow2
rebase -u upper.qcow2 && info upper.qcow2
rebase -u -b '' upper.qcow2 && info upper.qcow2 && map upper.qcow2
rebase -u -b gone upper.qcow2
rebase -u -b gone -F raw upper.qcow2 && info upper.qcow2 && rebase -b gone -F raw upper.qcow2
rebase -u -b base.qcow2 -F qcow2 broken-backing.qcow2 && info broken-backing.qcow2 && map broken-backing.qcow2
rebase -b base.qcow2 -F qcow2 broken-backing.qcow2
rebase -b nothing -F qcow2 upper.qcow2
rebase -b upper.qcow2 -F qcow2 upper.qcow2
rebase -u -b upper.qcow2 -F qcow2 upper.qcow2 && info upper.qcow2
rebase -b base.qcow2 disk.raw
rebase -f raw -b base.qcow2 -F qcow2 disk.raw
rebase -u -b '' -f raw disk.raw
rebase -u -b '' disk.vmdk
rebase -b '' disk.vmdk
rebase -b base.qcow2 -F qcow2 disk.vdi
rebase -b base.qcow2 -F qcow2 nothing
rebase -b base.qcow2 v2.qcow2
rebase -b base.qcow2 -F qcow2 v2.qcow2 && info v2.qcow2 && check v2.qcow2
rebase -u -b larger.qcow2 -F qcow2 v2.qcow2 && info v2.qcow2
rebase -c -b base.qcow2 -F qcow2 base.qcow2
rebase -t foo -b base.qcow2 -F qcow2 top.qcow2
rebase -T foo -b base.qcow2 -F qcow2 top.qcow2
rebase -t none -T none -b base.qcow2 -F qcow2 top.qcow2
rebase -U -b base.qcow2 -F qcow2 top.qcow2
rebase -q -b base.qcow2 -F qcow2 top.qcow2
rebase -f foo -b base.qcow2 top.qcow2
rebase -b json:{} -F raw top.qcow2
rebase -u -b json:{} -F raw top.qcow2
rebase --image-opts -b base.qcow2 -F qcow2 driver=qcow2,file.filename=top.qcow2 && info top.qcow2
rebase -f qcow2 --image-opts -b base.qcow2 -F qcow2 driver=qcow2,file.filename=top.qcow2
resize --image-opts driver=copy-on-read,file.driver=qcow2,file.file.filename=base.qcow2 4M && info base.qcow2
resize --image-opts driver=compress,file.driver=qcow2,file.file.filename=base.qcow2 5M
resize --image-opts driver=blkdebug,image.driver=qcow2,image.file.filename=base.qcow2 6M && info base.qcow2
resize --image-opts driver=copy-on-read,file.driver=vdi,file.file.filename=disk.vdi 7M
info --image-opts driver=blkdebug,image.driver=qcow2,image.file.filename=base.qcow2
info --output=json --image-opts driver=compress,file.driver=qcow2,file.file.filename=base.qcow2
"""
