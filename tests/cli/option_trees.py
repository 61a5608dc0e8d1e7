"""The command lines of `commands` that describe what they open by options, a json: name, or a filter's prefix."""

OPTIONS = r"""
info --image-opts driver=qcow2,nonsense=1,file.filename=base.qcow2
info --image-opts driver=qcow2,file.nonsense=1,file.filename=base.qcow2
info --image-opts driver=qcow2,file.filename=base.qcow2,zzz=1,abc=2
info --image-opts driver=qcow2
info --image-opts driver=qcow2,file=base.qcow2
info --image-opts base.qcow2
info --image-opts ''
info --image-opts filename=base.qcow2
info --image-opts driver=qcow2,filename=base.qcow2
info --image-opts driver=
info --image-opts driver=qcow2,file.driver=file
info --image-opts driver=qcow2,file.filename=
info --image-opts driver=qcow2,file.file.filename=base.qcow2
info --image-opts driver=qcow2,file.filename=file:base.qcow2
info --image-opts file.driver=nodriver,file.filename=x
info --image-opts file.filename=nothing
info --image-opts driver=file
info --image-opts driver=host_device,filename=base.qcow2
info --image-opts driver=raw,offset=512,file.filename=disk.raw
info --image-opts driver=raw,offset=x,file.filename=disk.raw
info --image-opts driver=raw,offset=5G,file.filename=disk.raw
info --image-opts driver=raw,size=5,file.filename=disk.raw
info --image-opts driver=raw,size=64k,offset=64k,file.filename=disk.raw
info --output=json --image-opts driver=raw,size=64k,offset=64k,file.filename=disk.raw
info --image-opts driver=raw,file.driver=null-co,file.size=1M
info --image-opts driver=null-co
info --image-opts driver=null-co,size=1M,read-zeroes=on
info --image-opts driver=null-co,foo=1
info null-co:
info null-co://x
info --image-opts driver=qcow2,lazy-refcounts=maybe,file.filename=base.qcow2
info --image-opts driver=qcow2,lazy-refcounts=on,file.filename=base.qcow2
info --image-opts driver=qcow2,lazy-refcounts=on,file.filename=v2.qcow2
info --image-opts driver=qcow2,overlap-check=foo,file.filename=base.qcow2
info --image-opts driver=qcow2,overlap-check.template=foo,file.filename=base.qcow2
info --image-opts driver=qcow2,overlap-check=none,overlap-check.template=all,file.filename=base.qcow2
info --image-opts driver=qcow2,overlap-check.main-header=x,file.filename=base.qcow2
info --image-opts driver=qcow2,overlap-check=constant,overlap-check.active-l2=on,file.filename=base.qcow2
info --image-opts driver=qcow2,cache-size=1M,l2-cache-size=2M,file.filename=base.qcow2
info --image-opts driver=qcow2,cache-size=1M,refcount-cache-size=2M,file.filename=base.qcow2
info --image-opts driver=qcow2,cache-size=1M,refcount-cache-size=1M,l2-cache-size=1M,file.filename=base.qcow2
info --image-opts driver=qcow2,l2-cache-entry-size=3,file.filename=base.qcow2
info --image-opts driver=qcow2,cache-clean-interval=x,file.filename=base.qcow2
info --image-opts driver=qcow2,cache-clean-interval=99999999999,file.filename=base.qcow2
info --image-opts driver=qcow2,read-only=x,file.filename=base.qcow2
info --image-opts driver=qcow2,force-share=on,file.filename=base.qcow2
info --image-opts driver=qcow2,discard=x,file.filename=base.qcow2
info --image-opts driver=qcow2,detect-zeroes=x,file.filename=base.qcow2
info --image-opts driver=qcow2,detect-zeroes=unmap,file.filename=base.qcow2
info --image-opts driver=qcow2,detect-zeroes=unmap,discard=unmap,file.filename=base.qcow2
info --image-opts driver=qcow2,cache.direct=x,file.filename=base.qcow2
info --image-opts driver=qcow2,cache.writeback=off,file.filename=base.qcow2
info --image-opts driver=qcow2,node-name=9foo,file.filename=base.qcow2
info --image-opts driver=qcow2,node-name=x,file.node-name=x,file.filename=base.qcow2
info --image-opts driver=qcow2,file.locking=x,file.filename=base.qcow2
info --image-opts driver=qcow2,file.locking=off,file.aio=threads,file.filename=base.qcow2
info --image-opts driver=qcow2,file.aio=native,file.filename=base.qcow2
info --image-opts driver=qcow2,file.aio=native,cache.direct=on,file.filename=base.qcow2
info --image-opts driver=qcow2,file.aio=native,file.cache.direct=on,file.filename=base.qcow2
info --image-opts driver=qcow2,file.aio=native,cache.direct=on,file.cache.direct=off,file.filename=base.qcow2
info --image-opts driver=qcow2,file.aio=native,file.filename=nothing
info --image-opts driver=file,aio=io_uring,filename=base.qcow2
info --image-opts driver=file,aio=x,filename=base.qcow2
info --image-opts driver=file,drop-cache=x,filename=base.qcow2
info --image-opts driver=file,drop-cache=off,x-check-cache-dropped=on,filename=base.qcow2
info --image-opts driver=file,aio-max-batch=16,filename=base.qcow2
convert -T none -O raw 'json:{"driver": "qcow2", "file": {"filename": "base.qcow2", "aio": "native"}}' new
convert -O raw 'json:{"driver": "qcow2", "file": {"filename": "base.qcow2", "aio": "native"}}' new
info --image-opts driver=qcow2,file.filename=top.qcow2,backing.driver=raw
info --backing-chain --image-opts driver=qcow2,file.filename=top.qcow2
check --image-opts driver=qcow2,file.filename=base.qcow2
check --output=json --image-opts driver=qcow2,file.filename=base.qcow2
map --image-opts driver=qcow2,file.filename=top.qcow2
map --image-opts driver=qcow2,file.filename=top.qcow2,backing.driver=raw,backing.file.filename=disk.raw
map --output=json --image-opts driver=qcow2,file.filename=top.qcow2,backing.driver=raw,backing.file.filename=disk.raw
map --image-opts driver=qcow2,file.filename=top.qcow2,backing=foo
map --image-opts driver=qcow2,file.filename=top.qcow2,backing.nonsense=1
map --image-opts driver=qcow2,file.filename=top.qcow2,backing.file.filename=nothing
map --image-opts driver=qcow2,file.filename=base.qcow2,backing.driver=raw
map --image-opts driver=raw,file.filename=disk.raw,backing.file.filename=base.qcow2
map --output=json 'json:{"driver": "qcow2", "file": {"filename": "top.qcow2"}, "backing": null}'
info 'json:{"driver": "qcow2", "file": null}'
info 'json:{"driver": "qcow2", "file": []}'
info 'json:{"driver": "qcow2", "file": {"driver": "file", "filename": null}}'
info 'json:{"driver": "raw", "size": null, "file": {"driver": "file", "filename": "disk.raw"}}'
info 'json:{"driver": "raw", "size": "1k", "size": "2k", "file": {"driver": "file", "filename": "disk.raw"}}'
info --image-opts driver=null-co,latency-ns=0x10
map --image-opts driver=raw,offset=64k,file.filename=disk.raw
measure -O qcow2 --image-opts driver=raw,size=64k,file.filename=disk.raw
compare --image-opts driver=raw,file.filename=disk.raw driver=raw,file.filename=disk.raw
compare --image-opts driver=qcow2,file.filename=base.qcow2 driver=raw,file.filename=disk.raw
convert --image-opts -O raw driver=raw,offset=64k,size=64k,file.filename=disk.raw new && info -f raw --output=json new
convert -n --target-image-opts disk.raw driver=qcow2,read-only=on,file.filename=base.qcow2
convert -n -f raw --target-image-opts disk.raw driver=qcow2,file.filename=base.qcow2 && compare disk.raw base.qcow2
resize --image-opts driver=qcow2,file.filename=base.qcow2 20M && info base.qcow2
resize --image-opts driver=qcow2,read-only=on,file.filename=base.qcow2 20M
resize --image-opts driver=raw,size=64k,file.filename=disk.raw 20M
bench -c 1 -w --image-opts driver=qcow2,read-only=on,file.filename=base.qcow2
dd --image-opts if=driver=raw,offset=64k,file.filename=disk.raw of=new bs=4k count=2 && info -f raw --output=json new
info 'json:{"driver": "qcow2", "file": {"driver": "file", "filename": "base.qcow2"}}'
info 'json:{"driver": "qcow2", "lazy-refcounts": true, "file.filename": "base.qcow2"}'
info 'json:{"driver": "qcow2", "lazy-refcounts": 5, "file.filename": "base.qcow2"}'
info 'json:{"driver": "raw", "size": 1048576, "file": {"driver": "null-co", "size": 1048576}}'
info 'json:{"driver": "qcow2", "file": "base.qcow2"}'
info 'json:{"driver": "qcow2", "file": {"filename": "top.qcow2"}, "backing": null}'
info -f raw 'json:{"file": {"driver": "file", "filename": "base.qcow2"}}'
info -f raw 'json:{"driver": "file", "filename": "base.qcow2"}'
info json:5
info json:[]
info 'json:{"driver": "qcow2"'
info blkdebug::base.qcow2
info -f raw blkdebug::base.qcow2
info -f blkdebug base.qcow2
info --output=json blkdebug::top.qcow2
info blkdebug:base.qcow2
info blkdebug:nothing:base.qcow2
info blkdebug::cfg:base.qcow2
info blkdebug::blkdebug::base.qcow2
check blkdebug::base.qcow2
check --image-opts driver=blkdebug,image.driver=qcow2,image.file.filename=base.qcow2
resize blkdebug::base.qcow2 20M && info base.qcow2
convert -O raw --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=base.qcow2 new && info -f raw new
map blkdebug::base.qcow2
info --image-opts driver=blkdebug,image.filename=disk.raw
info --image-opts driver=blkdebug
info --image-opts driver=blkdebug,align=3,image.filename=disk.raw
info --image-opts driver=blkdebug,zz=1,image.filename=disk.raw
info --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=base.qcow2,file.inject-error.0.event=read_aio
info --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=base.qcow2,file.inject-error.0.event=foo
info --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=base.qcow2,file.inject-error.0.errno=5
info --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=base.qcow2,file.inject-error.1.event=read_aio
info blkverify:disk.raw:disk.raw
info blkverify:disk.raw
info --image-opts driver=blkverify,raw.filename=disk.raw,test.filename=base.qcow2
info --image-opts driver=quorum,vote-threshold=1,children.0.file.filename=disk.raw,children.0.driver=raw
info --image-opts driver=quorum,vote-threshold=3,children.0.file.filename=base.qcow2
info --image-opts driver=quorum,children.0.file.filename=base.qcow2
info --image-opts driver=quorum,vote-threshold=1,children.1.file.filename=base.qcow2
info --image-opts driver=quorum,vote-threshold=1
info --image-opts driver=throttle,file.filename=disk.raw
info --image-opts driver=throttle,throttle-group=g,file.filename=disk.raw
info --image-opts driver=compress,file.driver=raw,file.file.filename=disk.raw
info --image-opts driver=preallocate,file.filename=disk.raw
info --image-opts driver=raw,file.driver=preallocate,file.file.filename=disk.raw
map --image-opts driver=copy-on-read,file.driver=qcow2,file.file.filename=top.qcow2
"""
