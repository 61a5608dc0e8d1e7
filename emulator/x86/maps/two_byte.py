"""Integer and system instructions behind 0F, 0F 38, 0F 3A and VEX (SDM Vol. 2, appendix A, tables A-3 to A-6).

A table file: longer than our other files, one row an encoding, in the notation of `emulator/x86/notation.py`.
"""

ROWS = """
# Groups 6 and 7: descriptor tables, machine status, supervisor bits
0F 00 /0             | SLDT       Rv/Mw                   | pm
0F 00 /1             | STR        Rv/Mw                   | pm
0F 00 /2             | LLDT       Ew                      | pm cpl0
0F 00 /3             | LTR        Ew                      | pm cpl0
0F 00 /4             | VERR       Ew                      | pm m:Z
0F 00 /5             | VERW       Ew                      | pm m:Z
0F 01 /0             | SGDT       Ms                      | f64
0F 01 /1             | SIDT       Ms                      | f64
0F 01 /2             | LGDT       Ms                      | f64 cpl0
0F 01 /3             | LIDT       Ms                      | f64 cpl0
0F 01 /4             | SMSW       Rv/Mw                   |
0F 01 /6             | LMSW       Ew                      | cpl0 flow
0F 01 /7             | INVLPG     m8                      | cpl0 flow
# CLAC and STAC raise #UD, not #GP, outside privilege level 0.
np 0F 01 CA          | CLAC                               | SMAP cpl0 0:K
np 0F 01 CB          | STAC                               | SMAP cpl0 1:K
np 0F 01 D0          | XGETBV                             | XSAVE
np 0F 01 D1          | XSETBV                             | XSAVE cpl0 flow
0F 01 F8             | SWAPGS                             | o64 LM cpl0
0F 01 F9             | RDTSCP                             | RDTSCP

# 02-0F: protection, system calls, caches
0F 02                | LAR        Gv,Rv/Mw                | pm m:Z
0F 03                | LSL        Gv,Rv/Mw                | pm m:Z
0F 05                | SYSCALL                            | o64 SYSCALL flow m:OSZAPCDITNRLK
0F 06                | CLTS                               | cpl0
0F 07                | SYSRET                             | o64 SYSCALL cpl0 flow m:OSZAPCDITNLK
0F 08                | INVD                               | cpl0
0F 09                | WBINVD                             | cpl0
0F 0B                | UD2                                | flow
0F 0D /0,2-7         | PREFETCH   m8                      | PREFETCHW
0F 0D /1             | PREFETCHW  m8                      | PREFETCHW

# 18-1F: prefetches and the opcodes that are defined to do nothing
0F 18 /0             | PREFETCHNTA m8                     | SSE
0F 18 /1             | PREFETCHT0 m8                      | SSE
0F 18 /2             | PREFETCHT1 m8                      | SSE
0F 18 /3             | PREFETCHT2 m8                      | SSE
0F 18 /0-3 11B       | NOP        Ev                      |
0F 18 /4-7           | NOP        Ev                      |
0F 19                | NOP        Ev                      |
0F 1A                | NOP        Ev                      |
0F 1B                | NOP        Ev                      |
0F 1C                | NOP        Ev                      |
0F 1D                | NOP        Ev                      |
0F 1E                | NOP        Ev                      |
F3 0F 1E FA          | ENDBR64                            |
F3 0F 1E FB          | ENDBR32                            |
0F 1F                | NOP        Ev                      |

# 20-37: control and debug registers, MSRs, counters, fast system calls
0F 20                | MOV        Ry,Cy                   | f64 cpl0 anymod u:OSZAPC
0F 21                | MOV        Ry,Dy                   | f64 cpl0 anymod u:OSZAPC
0F 22                | MOV        Cy,Ry                   | f64 cpl0 anymod flow u:OSZAPC
0F 23                | MOV        Dy,Ry                   | f64 cpl0 anymod flow u:OSZAPC
0F 30                | WRMSR                              | MSR cpl0 flow
0F 31                | RDTSC                              | TSC
0F 32                | RDMSR                              | MSR cpl0
0F 33                | RDPMC                              |
# SYSENTER and SYSEXIT raise #GP, not #UD, in real mode.
0F 34                | SYSENTER                           | SEP flow m:IV
0F 35                | SYSEXIT                            | SEP cpl0 flow

# 40-9F: conditions
0F 40+cc             | CMOVcc     Gv,Ev                   | CMOV t:OSZPC
0F 80+cc             | Jcc        Jz                      | f64 flow t:OSZPC
0F 90+cc             | SETcc      Eb                      | t:OSZPC

# A0-BF: FS and GS, bits, double shifts, group 15 (XSAVE, FS and GS base, fences), extension
0F A0                | PUSH       FS                      | d64 stack
0F A1                | POP        FS                      | d64 stack
0F A2                | CPUID                              |
0F A3                | BT         Ev,Gv                   | m:C u:OSAP
0F A4                | SHLD       Ev,Gv,Ib                | keep0 m:SZPC u:OA
0F A5                | SHLD       Ev,Gv,CL                | keep0 m:SZPC u:OA
0F A8                | PUSH       GS                      | d64 stack
0F A9                | POP        GS                      | d64 stack
0F AB                | BTS        Ev,Gv                   | lock m:C u:OSAP
0F AC                | SHRD       Ev,Gv,Ib                | keep0 m:SZPC u:OA
0F AD                | SHRD       Ev,Gv,CL                | keep0 m:SZPC u:OA
np 0F AE /0          | FXSAVE/FXSAVE64 m512byte           | FXSR
np 0F AE /1          | FXRSTOR/FXRSTOR64 m512byte         | FXSR
np 0F AE /2          | LDMXCSR    m32                     | SSE
np 0F AE /3          | STMXCSR    m32                     | SSE
np 0F AE /4          | XSAVE/XSAVE64 M                    | XSAVE
np 0F AE /5          | XRSTOR/XRSTOR64 M                  | XSAVE
np 0F AE /6          | XSAVEOPT/XSAVEOPT64 M              | XSAVEOPT
np 0F AE /7          | CLFLUSH    m8                      | CLFSH
F3 0F AE /0          | RDFSBASE   Ry                      | o64 FSGSBASE
F3 0F AE /1          | RDGSBASE   Ry                      | o64 FSGSBASE
F3 0F AE /2          | WRFSBASE   Ry                      | o64 FSGSBASE
F3 0F AE /3          | WRGSBASE   Ry                      | o64 FSGSBASE
np 0F AE /5 11B      | LFENCE                             | SSE2
np 0F AE /6 11B      | MFENCE                             | SSE2
np 0F AE /7 11B      | SFENCE                             | SSE
0F AF                | IMUL       Gv,Ev                   | m:OC u:SZAP
0F B0                | CMPXCHG    Eb,Gb                   | lock m:OSZAPC
0F B1                | CMPXCHG    Ev,Gv                   | lock m:OSZAPC
0F B2                | LSS        Gv,Mp                   |
0F B3                | BTR        Ev,Gv                   | lock m:C u:OSAP
0F B4                | LFS        Gv,Mp                   |
0F B5                | LGS        Gv,Mp                   |
0F B6                | MOVZX      Gv,Eb                   |
0F B7                | MOVZX      Gv,Ew                   |
F3 0F B8             | POPCNT     Gv,Ev                   | POPCNT m:Z 0:OSAPC
0F B9                | UD1        Gv,Ev                   | flow
0F BA /4             | BT         Ev,Ib                   | m:C u:OSAP
0F BA /5             | BTS        Ev,Ib                   | lock m:C u:OSAP
0F BA /6             | BTR        Ev,Ib                   | lock m:C u:OSAP
0F BA /7             | BTC        Ev,Ib                   | lock m:C u:OSAP
0F BB                | BTC        Ev,Gv                   | lock m:C u:OSAP
0F BC                | BSF        Gv,Ev                   | m:Z u:OSAPC
F3 0F BC             | TZCNT      Gv,Ev                   | BMI1 m:ZC u:OSAP
0F BD                | BSR        Gv,Ev                   | m:Z u:OSAPC
F3 0F BD             | LZCNT      Gv,Ev                   | LZCNT m:ZC u:OSAP
0F BE                | MOVSX      Gv,Eb                   |
0F BF                | MOVSX      Gv,Ew                   |

# C0-FF: exchange, group 9, byte order, UD0
0F C0                | XADD       Eb,Gb                   | lock m:OSZAPC
0F C1                | XADD       Ev,Gv                   | lock m:OSZAPC
np 0F C3             | MOVNTI     My,Gy                   | SSE2
W0 0F C7 /1          | CMPXCHG8B  Mq                      | CX8 lock m:Z
W1 0F C7 /1          | CMPXCHG16B Mdq                     | o64 CX16 lock m:Z
np 0F C7 /3          | XRSTORS/XRSTORS64 M                | XSAVES cpl0
np 0F C7 /4          | XSAVEC/XSAVEC64 M                  | XSAVEC
np 0F C7 /5          | XSAVES/XSAVES64 M                  | XSAVES cpl0
np 0F C7 /6          | RDRAND     Rv                      | RDRAND m:C 0:OSZAP
66 0F C7 /6          | RDRAND     Rv                      | RDRAND m:C 0:OSZAP
np 0F C7 /7          | RDSEED     Rv                      | RDSEED m:C 0:OSZAP
66 0F C7 /7          | RDSEED     Rv                      | RDSEED m:C 0:OSZAP
0F C8+r              | BSWAP      Zv                      |
0F FF                | UD0        Gv,Ev                   | flow

# The three-byte opcodes of general registers
66 0F 38 82          | INVPCID    Gy,Mdq                  | f64 INVPCID cpl0 flow
np 0F 38 F0          | MOVBE      Gv,Mv                   | MOVBE
66 0F 38 F0          | MOVBE      Gv,Mv                   | MOVBE
F2 0F 38 F0          | CRC32      Gy,Eb                   | SSE4.2
np 0F 38 F1          | MOVBE      Mv,Gv                   | MOVBE
66 0F 38 F1          | MOVBE      Mv,Gv                   | MOVBE
F2 0F 38 F1          | CRC32      Gy,Ev                   | SSE4.2
66 0F 38 F6          | ADCX       Gy,Ey                   | ADX t:C m:C
F3 0F 38 F6          | ADOX       Gy,Ey                   | ADX t:O m:O

# VEX-encoded: three operands, general registers, VEX.L = 0 (SDM Vol. 2, section 2.3; exceptions type 13)
VEX np 0F 38 F2      | ANDN       Gy,By,Ey                | BMI1 pm m:SZ 0:OC u:AP
VEX np 0F 38 F3 /1   | BLSR       By,Ey                   | BMI1 pm m:SZC 0:O u:AP
VEX np 0F 38 F3 /2   | BLSMSK     By,Ey                   | BMI1 pm m:SC 0:OZ u:AP
VEX np 0F 38 F3 /3   | BLSI       By,Ey                   | BMI1 pm m:SZC 0:O u:AP
VEX np 0F 38 F5      | BZHI       Gy,Ey,By                | BMI2 pm m:SZC 0:O u:AP
VEX F3 0F 38 F5      | PEXT       Gy,By,Ey                | BMI2 pm
VEX F2 0F 38 F5      | PDEP       Gy,By,Ey                | BMI2 pm
VEX F2 0F 38 F6      | MULX       Gy,By,Ey                | BMI2 pm
VEX np 0F 38 F7      | BEXTR      Gy,Ey,By                | BMI1 pm m:Z 0:OC u:SAP
VEX 66 0F 38 F7      | SHLX       Gy,Ey,By                | BMI2 pm
VEX F3 0F 38 F7      | SARX       Gy,Ey,By                | BMI2 pm
VEX F2 0F 38 F7      | SHRX       Gy,Ey,By                | BMI2 pm
VEX F2 0F 3A F0      | RORX       Gy,Ey,Ib                | BMI2 pm
"""
