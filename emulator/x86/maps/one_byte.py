"""The one-byte opcodes (Intel SDM Vol. 2, appendix A, tables A-2 and A-6), without the x87 escapes D8-DF.

A table file: longer than our other files, one row an encoding, in the notation of `emulator/x86/notation.py`.
"""

ROWS = """
# 00-3F: arithmetic and logic, segment registers, decimal adjustment
00                   | ADD        Eb,Gb                   | lock m:OSZAPC
01                   | ADD        Ev,Gv                   | lock m:OSZAPC
02                   | ADD        Gb,Eb                   | m:OSZAPC
03                   | ADD        Gv,Ev                   | m:OSZAPC
04                   | ADD        AL,Ib                   | m:OSZAPC
05                   | ADD        rAX,Iz                  | m:OSZAPC
06                   | PUSH       ES                      | i64 stack
07                   | POP        ES                      | i64 stack
08                   | OR         Eb,Gb                   | lock m:SZP 0:OC u:A
09                   | OR         Ev,Gv                   | lock m:SZP 0:OC u:A
0A                   | OR         Gb,Eb                   | m:SZP 0:OC u:A
0B                   | OR         Gv,Ev                   | m:SZP 0:OC u:A
0C                   | OR         AL,Ib                   | m:SZP 0:OC u:A
0D                   | OR         rAX,Iz                  | m:SZP 0:OC u:A
0E                   | PUSH       CS                      | i64 stack
10                   | ADC        Eb,Gb                   | lock t:C m:OSZAPC
11                   | ADC        Ev,Gv                   | lock t:C m:OSZAPC
12                   | ADC        Gb,Eb                   | t:C m:OSZAPC
13                   | ADC        Gv,Ev                   | t:C m:OSZAPC
14                   | ADC        AL,Ib                   | t:C m:OSZAPC
15                   | ADC        rAX,Iz                  | t:C m:OSZAPC
16                   | PUSH       SS                      | i64 stack
17                   | POP        SS                      | i64 stack
18                   | SBB        Eb,Gb                   | lock t:C m:OSZAPC
19                   | SBB        Ev,Gv                   | lock t:C m:OSZAPC
1A                   | SBB        Gb,Eb                   | t:C m:OSZAPC
1B                   | SBB        Gv,Ev                   | t:C m:OSZAPC
1C                   | SBB        AL,Ib                   | t:C m:OSZAPC
1D                   | SBB        rAX,Iz                  | t:C m:OSZAPC
1E                   | PUSH       DS                      | i64 stack
1F                   | POP        DS                      | i64 stack
20                   | AND        Eb,Gb                   | lock m:SZP 0:OC u:A
21                   | AND        Ev,Gv                   | lock m:SZP 0:OC u:A
22                   | AND        Gb,Eb                   | m:SZP 0:OC u:A
23                   | AND        Gv,Ev                   | m:SZP 0:OC u:A
24                   | AND        AL,Ib                   | m:SZP 0:OC u:A
25                   | AND        rAX,Iz                  | m:SZP 0:OC u:A
27                   | DAA                                | i64 t:AC m:SZAPC u:O
28                   | SUB        Eb,Gb                   | lock m:OSZAPC
29                   | SUB        Ev,Gv                   | lock m:OSZAPC
2A                   | SUB        Gb,Eb                   | m:OSZAPC
2B                   | SUB        Gv,Ev                   | m:OSZAPC
2C                   | SUB        AL,Ib                   | m:OSZAPC
2D                   | SUB        rAX,Iz                  | m:OSZAPC
2F                   | DAS                                | i64 t:AC m:SZAPC u:O
30                   | XOR        Eb,Gb                   | lock m:SZP 0:OC u:A
31                   | XOR        Ev,Gv                   | lock m:SZP 0:OC u:A
32                   | XOR        Gb,Eb                   | m:SZP 0:OC u:A
33                   | XOR        Gv,Ev                   | m:SZP 0:OC u:A
34                   | XOR        AL,Ib                   | m:SZP 0:OC u:A
35                   | XOR        rAX,Iz                  | m:SZP 0:OC u:A
37                   | AAA                                | i64 t:A m:AC u:OSZP
38                   | CMP        Eb,Gb                   | m:OSZAPC
39                   | CMP        Ev,Gv                   | m:OSZAPC
3A                   | CMP        Gb,Eb                   | m:OSZAPC
3B                   | CMP        Gv,Ev                   | m:OSZAPC
3C                   | CMP        AL,Ib                   | m:OSZAPC
3D                   | CMP        rAX,Iz                  | m:OSZAPC
3F                   | AAS                                | i64 t:A m:AC u:OSZP

# 40-6F: registers, the stack, ports (40-4F are REX prefixes in 64-bit mode)
40+r                 | INC        Zv                      | i64 m:OSZAP
48+r                 | DEC        Zv                      | i64 m:OSZAP
50+r                 | PUSH       Zv                      | d64 stack
58+r                 | POP        Zv                      | d64 stack
60                   | PUSHA/PUSHAD/PUSHAQ                | i64 stack
61                   | POPA/POPAD/POPAQ                   | i64 stack
62                   | BOUND      Gv,Ma                   | i64
63                   | ARPL       Ew,Gw                   | i64 pm m:Z
63                   | MOVSXD     Gv,Ez                   | o64 LM
68                   | PUSH       Iz                      | d64 stack
69                   | IMUL       Gv,Ev,Iz                | m:OC u:SZAP
6A                   | PUSH       Ibs                     | d64 stack
6B                   | IMUL       Gv,Ev,Ibs               | m:OC u:SZAP
6C                   | INSB       Yb,DX                   | rep iopl t:D
6D                   | INSW/INSD/INSD Yz,DX               | rep iopl t:D
6E                   | OUTSB      DX,Xb                   | rep iopl t:D
6F                   | OUTSW/OUTSD/OUTSD DX,Xz            | rep iopl t:D
70+cc                | Jcc        Jb                      | f64 flow t:OSZPC

# 80-8F: group 1, moves, group 1A
80 /0                | ADD        Eb,Ib                   | lock m:OSZAPC
80 /1                | OR         Eb,Ib                   | lock m:SZP 0:OC u:A
80 /2                | ADC        Eb,Ib                   | lock t:C m:OSZAPC
80 /3                | SBB        Eb,Ib                   | lock t:C m:OSZAPC
80 /4                | AND        Eb,Ib                   | lock m:SZP 0:OC u:A
80 /5                | SUB        Eb,Ib                   | lock m:OSZAPC
80 /6                | XOR        Eb,Ib                   | lock m:SZP 0:OC u:A
80 /7                | CMP        Eb,Ib                   | m:OSZAPC
81 /0                | ADD        Ev,Iz                   | lock m:OSZAPC
81 /1                | OR         Ev,Iz                   | lock m:SZP 0:OC u:A
81 /2                | ADC        Ev,Iz                   | lock t:C m:OSZAPC
81 /3                | SBB        Ev,Iz                   | lock t:C m:OSZAPC
81 /4                | AND        Ev,Iz                   | lock m:SZP 0:OC u:A
81 /5                | SUB        Ev,Iz                   | lock m:OSZAPC
81 /6                | XOR        Ev,Iz                   | lock m:SZP 0:OC u:A
81 /7                | CMP        Ev,Iz                   | m:OSZAPC
82 /0                | ADD        Eb,Ib                   | i64 lock m:OSZAPC
82 /1                | OR         Eb,Ib                   | i64 lock m:SZP 0:OC u:A
82 /2                | ADC        Eb,Ib                   | i64 lock t:C m:OSZAPC
82 /3                | SBB        Eb,Ib                   | i64 lock t:C m:OSZAPC
82 /4                | AND        Eb,Ib                   | i64 lock m:SZP 0:OC u:A
82 /5                | SUB        Eb,Ib                   | i64 lock m:OSZAPC
82 /6                | XOR        Eb,Ib                   | i64 lock m:SZP 0:OC u:A
82 /7                | CMP        Eb,Ib                   | i64 m:OSZAPC
83 /0                | ADD        Ev,Ibs                  | lock m:OSZAPC
83 /1                | OR         Ev,Ibs                  | lock m:SZP 0:OC u:A
83 /2                | ADC        Ev,Ibs                  | lock t:C m:OSZAPC
83 /3                | SBB        Ev,Ibs                  | lock t:C m:OSZAPC
83 /4                | AND        Ev,Ibs                  | lock m:SZP 0:OC u:A
83 /5                | SUB        Ev,Ibs                  | lock m:OSZAPC
83 /6                | XOR        Ev,Ibs                  | lock m:SZP 0:OC u:A
83 /7                | CMP        Ev,Ibs                  | m:OSZAPC
84                   | TEST       Eb,Gb                   | m:SZP 0:OC u:A
85                   | TEST       Ev,Gv                   | m:SZP 0:OC u:A
86                   | XCHG       Eb,Gb                   | lock
87                   | XCHG       Ev,Gv                   | lock
88                   | MOV        Eb,Gb                   |
89                   | MOV        Ev,Gv                   |
8A                   | MOV        Gb,Eb                   |
8B                   | MOV        Gv,Ev                   |
8C /0-5              | MOV        Rv/Mw,Sw                |
8D                   | LEA        Gv,M                    |
8E /0,2-5            | MOV        Sw,Ew                   |
8F /0                | POP        Ev                      | d64 stack

# 90-9F
B0 90                | NOP                                |
F3 B0 90             | PAUSE                              |
90+r                 | XCHG       Zv,rAX                  |
98                   | CBW/CWDE/CDQE                      |
99                   | CWD/CDQ/CQO                        |
9A                   | CALL       Ap                      | i64 flow stack
9B                   | FWAIT                              | X87
9C                   | PUSHF/PUSHFD/PUSHFQ                | d64 stack t:OSZAPCDITNRVLK
9D                   | POPF/POPFD/POPFQ                   | d64 stack m:OSZAPCDITNRLK
9E                   | SAHF                               | LAHF m:SZAPC
9F                   | LAHF                               | LAHF t:SZAPC

# A0-AF: absolute addresses, strings
A0                   | MOV        AL,Ob                   |
A1                   | MOV        rAX,Ov                  |
A2                   | MOV        Ob,AL                   |
A3                   | MOV        Ov,rAX                  |
A4                   | MOVSB      Yb,Xb                   | rep t:D
A5                   | MOVSW/MOVSD/MOVSQ Yv,Xv            | rep t:D
A6                   | CMPSB      Xb,Yb                   | keep0 repe t:D m:OSZAPC
A7                   | CMPSW/CMPSD/CMPSQ Xv,Yv            | keep0 repe t:D m:OSZAPC
A8                   | TEST       AL,Ib                   | m:SZP 0:OC u:A
A9                   | TEST       rAX,Iz                  | m:SZP 0:OC u:A
AA                   | STOSB      Yb,AL                   | rep t:D
AB                   | STOSW/STOSD/STOSQ Yv,rAX           | rep t:D
AC                   | LODSB      AL,Xb                   | rep t:D
AD                   | LODSW/LODSD/LODSQ rAX,Xv           | rep t:D
AE                   | SCASB      AL,Yb                   | keep0 repe t:D m:OSZAPC
AF                   | SCASW/SCASD/SCASQ rAX,Yv           | keep0 repe t:D m:OSZAPC

# B0-CF: immediates, group 2 with an immediate, group 11, returns, interrupts
# The flag O after a shift by any count but 1 is undefined (SDM Vol. 2, SAL/SAR/SHL/SHR).
B0+r                 | MOV        Zb,Ib                   |
B8+r                 | MOV        Zv,Iv                   |
C0 /0                | ROL        Eb,Ib                   | keep0 m:C u:O
C0 /1                | ROR        Eb,Ib                   | keep0 m:C u:O
C0 /2                | RCL        Eb,Ib                   | keep0 t:C m:C u:O
C0 /3                | RCR        Eb,Ib                   | keep0 t:C m:C u:O
C0 /4,6              | SHL        Eb,Ib                   | keep0 m:SZPC u:OA
C0 /5                | SHR        Eb,Ib                   | keep0 m:SZPC u:OA
C0 /7                | SAR        Eb,Ib                   | keep0 m:SZPC u:OA
C1 /0                | ROL        Ev,Ib                   | keep0 m:C u:O
C1 /1                | ROR        Ev,Ib                   | keep0 m:C u:O
C1 /2                | RCL        Ev,Ib                   | keep0 t:C m:C u:O
C1 /3                | RCR        Ev,Ib                   | keep0 t:C m:C u:O
C1 /4,6              | SHL        Ev,Ib                   | keep0 m:SZPC u:OA
C1 /5                | SHR        Ev,Ib                   | keep0 m:SZPC u:OA
C1 /7                | SAR        Ev,Ib                   | keep0 m:SZPC u:OA
C2                   | RET        Iw                      | f64 flow stack
C3                   | RET                                | f64 flow stack
C4                   | LES        Gv,Mp                   | i64
C5                   | LDS        Gv,Mp                   | i64
C6 /0                | MOV        Eb,Ib                   |
C7 /0                | MOV        Ev,Iz                   |
C8                   | ENTER      Iw,Ib                   | d64 stack
C9                   | LEAVE                              | d64 stack
CA                   | RETF       Iw                      | flow stack
CB                   | RETF                               | flow stack
CC                   | INT3                               | flow stack
CD                   | INT        Ib                      | flow stack
CE                   | INTO                               | i64 flow stack t:O
CF                   | IRET/IRETD/IRETQ                   | flow stack t:N m:OSZAPCDITNRVLK

# D0-DF: group 2, decimal adjustment (D8-DF: x87.py)
D0 /0                | ROL        Eb,1                    | m:OC
D0 /1                | ROR        Eb,1                    | m:OC
D0 /2                | RCL        Eb,1                    | t:C m:OC
D0 /3                | RCR        Eb,1                    | t:C m:OC
D0 /4,6              | SHL        Eb,1                    | m:OSZPC u:A
D0 /5                | SHR        Eb,1                    | m:OSZPC u:A
D0 /7                | SAR        Eb,1                    | m:OSZPC u:A
D1 /0                | ROL        Ev,1                    | m:OC
D1 /1                | ROR        Ev,1                    | m:OC
D1 /2                | RCL        Ev,1                    | t:C m:OC
D1 /3                | RCR        Ev,1                    | t:C m:OC
D1 /4,6              | SHL        Ev,1                    | m:OSZPC u:A
D1 /5                | SHR        Ev,1                    | m:OSZPC u:A
D1 /7                | SAR        Ev,1                    | m:OSZPC u:A
D2 /0                | ROL        Eb,CL                   | keep0 m:C u:O
D2 /1                | ROR        Eb,CL                   | keep0 m:C u:O
D2 /2                | RCL        Eb,CL                   | keep0 t:C m:C u:O
D2 /3                | RCR        Eb,CL                   | keep0 t:C m:C u:O
D2 /4,6              | SHL        Eb,CL                   | keep0 m:SZPC u:OA
D2 /5                | SHR        Eb,CL                   | keep0 m:SZPC u:OA
D2 /7                | SAR        Eb,CL                   | keep0 m:SZPC u:OA
D3 /0                | ROL        Ev,CL                   | keep0 m:C u:O
D3 /1                | ROR        Ev,CL                   | keep0 m:C u:O
D3 /2                | RCL        Ev,CL                   | keep0 t:C m:C u:O
D3 /3                | RCR        Ev,CL                   | keep0 t:C m:C u:O
D3 /4,6              | SHL        Ev,CL                   | keep0 m:SZPC u:OA
D3 /5                | SHR        Ev,CL                   | keep0 m:SZPC u:OA
D3 /7                | SAR        Ev,CL                   | keep0 m:SZPC u:OA
D4                   | AAM        Ib                      | i64 m:SZP u:OAC
D5                   | AAD        Ib                      | i64 m:SZP u:OAC
# SALC (AL = C ? FFh : 0) has no page in the SDM; every Intel processor since the 8086 has it.
D6                   | SALC                               | i64 t:C
D7                   | XLATB      BBb                     |

# E0-EF: loops, near and far branches, ports
E0                   | LOOPNE     Jb                      | f64 flow t:Z
E1                   | LOOPE      Jb                      | f64 flow t:Z
E2                   | LOOP       Jb                      | f64 flow
E3                   | JCXZ/JECXZ/JRCXZ Jb                | f64 flow asize
E4                   | IN         AL,Ib                   | iopl
E5                   | IN         eAX,Ib                  | iopl
E6                   | OUT        Ib,AL                   | iopl
E7                   | OUT        Ib,eAX                  | iopl
E8                   | CALL       Jz                      | f64 flow stack
E9                   | JMP        Jz                      | f64 flow
EA                   | JMP        Ap                      | i64 flow
EB                   | JMP        Jb                      | f64 flow
EC                   | IN         AL,DX                   | iopl
ED                   | IN         eAX,DX                  | iopl
EE                   | OUT        DX,AL                   | iopl
EF                   | OUT        DX,eAX                  | iopl

# F0-FF: flags, groups 3, 4 and 5
F1                   | INT1                               | flow stack
F4                   | HLT                                | cpl0 flow
F5                   | CMC                                | t:C m:C
F6 /0,1              | TEST       Eb,Ib                   | m:SZP 0:OC u:A
F6 /2                | NOT        Eb                      | lock
F6 /3                | NEG        Eb                      | lock m:OSZAPC
F6 /4                | MUL        Eb                      | m:OC u:SZAP
F6 /5                | IMUL       Eb                      | m:OC u:SZAP
F6 /6                | DIV        Eb                      | u:OSZAPC
F6 /7                | IDIV       Eb                      | u:OSZAPC
F7 /0,1              | TEST       Ev,Iz                   | m:SZP 0:OC u:A
F7 /2                | NOT        Ev                      | lock
F7 /3                | NEG        Ev                      | lock m:OSZAPC
F7 /4                | MUL        Ev                      | m:OC u:SZAP
F7 /5                | IMUL       Ev                      | m:OC u:SZAP
F7 /6                | DIV        Ev                      | u:OSZAPC
F7 /7                | IDIV       Ev                      | u:OSZAPC
F8                   | CLC                                | 0:C
F9                   | STC                                | 1:C
FA                   | CLI                                | iopl 0:I
FB                   | STI                                | iopl 1:I flow
FC                   | CLD                                | 0:D
FD                   | STD                                | 1:D
FE /0                | INC        Eb                      | lock m:OSZAP
FE /1                | DEC        Eb                      | lock m:OSZAP
FF /0                | INC        Ev                      | lock m:OSZAP
FF /1                | DEC        Ev                      | lock m:OSZAP
FF /2                | CALL       Ev                      | f64 flow stack
FF /3                | CALL       Mp                      | flow stack
FF /4                | JMP        Ev                      | f64 flow
FF /5                | JMP        Mp                      | flow
FF /6                | PUSH       Ev                      | d64 stack
"""
