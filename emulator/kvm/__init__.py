"""The host's processor as the machine's: Linux's KVM, by ioctls on /dev/kvm and a shared page.

Names and section numbers are those of "The Definitive KVM (Kernel-based Virtual Machine) API Documentation" in the
kernel (Documentation/virt/kvm/api.rst). The chips stay ours, interrupt controllers too: KVM executes, and leaves
whenever the guest does something that is not in memory.
"""
