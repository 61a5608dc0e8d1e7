"""The x87 escapes D8-DF (Intel SDM Vol. 2, appendix A, section A.5, tables A-7 to A-22).

The condition codes C0-C3 live in the x87 status word; the flags named here are those of EFLAGS.
FWAIT (9B) is in `one_byte.py`. A row that needs two features (FCMOVcc, FISTTP) names the newer one.

A table file: longer than our other files, one row an encoding, in the notation of `emulator/x86/notation.py`.
"""

ROWS = """
# D8: arithmetic with ST(0) as the destination
D8 /0                | FADD       m32fp                   | X87
D8 /1                | FMUL       m32fp                   | X87
D8 /2                | FCOM       m32fp                   | X87
D8 /3                | FCOMP      m32fp                   | X87
D8 /4                | FSUB       m32fp                   | X87
D8 /5                | FSUBR      m32fp                   | X87
D8 /6                | FDIV       m32fp                   | X87
D8 /7                | FDIVR      m32fp                   | X87
D8 C0+i              | FADD       ST0,STi                 | X87
D8 C8+i              | FMUL       ST0,STi                 | X87
D8 D0+i              | FCOM       STi                     | X87
D8 D8+i              | FCOMP      STi                     | X87
D8 E0+i              | FSUB       ST0,STi                 | X87
D8 E8+i              | FSUBR      ST0,STi                 | X87
D8 F0+i              | FDIV       ST0,STi                 | X87
D8 F8+i              | FDIVR      ST0,STi                 | X87

# D9: loads and stores, the environment, constants, functions
D9 /0                | FLD        m32fp                   | X87
D9 /2                | FST        m32fp                   | X87
D9 /3                | FSTP       m32fp                   | X87
D9 /4                | FLDENV     m14/28byte              | X87
D9 /5                | FLDCW      m16                     | X87
D9 /6                | FNSTENV    m14/28byte              | X87
D9 /7                | FNSTCW     m16                     | X87
D9 C0+i              | FLD        STi                     | X87
D9 C8+i              | FXCH       STi                     | X87
D9 D0                | FNOP                               | X87
D9 E0                | FCHS                               | X87
D9 E1                | FABS                               | X87
D9 E4                | FTST                               | X87
D9 E5                | FXAM                               | X87
D9 E8                | FLD1                               | X87
D9 E9                | FLDL2T                             | X87
D9 EA                | FLDL2E                             | X87
D9 EB                | FLDPI                              | X87
D9 EC                | FLDLG2                             | X87
D9 ED                | FLDLN2                             | X87
D9 EE                | FLDZ                               | X87
D9 F0                | F2XM1                              | X87
D9 F1                | FYL2X                              | X87
D9 F2                | FPTAN                              | X87
D9 F3                | FPATAN                             | X87
D9 F4                | FXTRACT                            | X87
D9 F5                | FPREM1                             | X87
D9 F6                | FDECSTP                            | X87
D9 F7                | FINCSTP                            | X87
D9 F8                | FPREM                              | X87
D9 F9                | FYL2XP1                            | X87
D9 FA                | FSQRT                              | X87
D9 FB                | FSINCOS                            | X87
D9 FC                | FRNDINT                            | X87
D9 FD                | FSCALE                             | X87
D9 FE                | FSIN                               | X87
D9 FF                | FCOS                               | X87

# DA: 32-bit integers, conditional moves
DA /0                | FIADD      m32int                  | X87
DA /1                | FIMUL      m32int                  | X87
DA /2                | FICOM      m32int                  | X87
DA /3                | FICOMP     m32int                  | X87
DA /4                | FISUB      m32int                  | X87
DA /5                | FISUBR     m32int                  | X87
DA /6                | FIDIV      m32int                  | X87
DA /7                | FIDIVR     m32int                  | X87
DA C0+i              | FCMOVB     ST0,STi                 | CMOV t:C
DA C8+i              | FCMOVE     ST0,STi                 | CMOV t:Z
DA D0+i              | FCMOVBE    ST0,STi                 | CMOV t:CZ
DA D8+i              | FCMOVU     ST0,STi                 | CMOV t:P
DA E9                | FUCOMPP                            | X87

# DB: 32-bit integers, 80-bit values, conditional moves, control
DB /0                | FILD       m32int                  | X87
DB /1                | FISTTP     m32int                  | SSE3
DB /2                | FIST       m32int                  | X87
DB /3                | FISTP      m32int                  | X87
DB /5                | FLD        m80fp                   | X87
DB /7                | FSTP       m80fp                   | X87
DB C0+i              | FCMOVNB    ST0,STi                 | CMOV t:C
DB C8+i              | FCMOVNE    ST0,STi                 | CMOV t:Z
DB D0+i              | FCMOVNBE   ST0,STi                 | CMOV t:CZ
DB D8+i              | FCMOVNU    ST0,STi                 | CMOV t:P
# FENI, FDISI and FSETPM of the 8087 and 80287 do nothing since the 80387 (SDM Vol. 3, section 22.18).
DB E0                | FNENI                              | X87
DB E1                | FNDISI                             | X87
DB E2                | FNCLEX                             | X87
DB E3                | FNINIT                             | X87
DB E4                | FNSETPM                            | X87
DB E8+i              | FUCOMI     ST0,STi                 | CMOV m:ZPC 0:OSA
DB F0+i              | FCOMI      ST0,STi                 | CMOV m:ZPC 0:OSA

# DC: 64-bit values, arithmetic with ST(i) as the destination (where the reverse forms change places)
DC /0                | FADD       m64fp                   | X87
DC /1                | FMUL       m64fp                   | X87
DC /2                | FCOM       m64fp                   | X87
DC /3                | FCOMP      m64fp                   | X87
DC /4                | FSUB       m64fp                   | X87
DC /5                | FSUBR      m64fp                   | X87
DC /6                | FDIV       m64fp                   | X87
DC /7                | FDIVR      m64fp                   | X87
DC C0+i              | FADD       STi,ST0                 | X87
DC C8+i              | FMUL       STi,ST0                 | X87
DC E0+i              | FSUBR      STi,ST0                 | X87
DC E8+i              | FSUB       STi,ST0                 | X87
DC F0+i              | FDIVR      STi,ST0                 | X87
DC F8+i              | FDIV       STi,ST0                 | X87

# DD: 64-bit values, the whole state
DD /0                | FLD        m64fp                   | X87
DD /1                | FISTTP     m64int                  | SSE3
DD /2                | FST        m64fp                   | X87
DD /3                | FSTP       m64fp                   | X87
DD /4                | FRSTOR     m94/108byte             | X87
DD /6                | FNSAVE     m94/108byte             | X87
DD /7                | FNSTSW     m16                     | X87
DD C0+i              | FFREE      STi                     | X87
DD D0+i              | FST        STi                     | X87
DD D8+i              | FSTP       STi                     | X87
DD E0+i              | FUCOM      STi                     | X87
DD E8+i              | FUCOMP     STi                     | X87

# DE: 16-bit integers, arithmetic that pops
DE /0                | FIADD      m16int                  | X87
DE /1                | FIMUL      m16int                  | X87
DE /2                | FICOM      m16int                  | X87
DE /3                | FICOMP     m16int                  | X87
DE /4                | FISUB      m16int                  | X87
DE /5                | FISUBR     m16int                  | X87
DE /6                | FIDIV      m16int                  | X87
DE /7                | FIDIVR     m16int                  | X87
DE C0+i              | FADDP      STi,ST0                 | X87
DE C8+i              | FMULP      STi,ST0                 | X87
DE D9                | FCOMPP                             | X87
DE E0+i              | FSUBRP     STi,ST0                 | X87
DE E8+i              | FSUBP      STi,ST0                 | X87
DE F0+i              | FDIVRP     STi,ST0                 | X87
DE F8+i              | FDIVP      STi,ST0                 | X87

# DF: 16-bit and 64-bit integers, packed BCD, the status word
DF /0                | FILD       m16int                  | X87
DF /1                | FISTTP     m16int                  | SSE3
DF /2                | FIST       m16int                  | X87
DF /3                | FISTP      m16int                  | X87
DF /4                | FBLD       m80bcd                  | X87
DF /5                | FILD       m64int                  | X87
DF /6                | FBSTP      m80bcd                  | X87
DF /7                | FISTP      m64int                  | X87
# FFREEP (FFREE, then pop) has no page in the SDM.
DF C0+i              | FFREEP     STi                     | X87
DF E0                | FNSTSW     AX                      | X87
DF E8+i              | FUCOMIP    ST0,STi                 | CMOV m:ZPC 0:OSA
DF F0+i              | FCOMIP     ST0,STi                 | CMOV m:ZPC 0:OSA

# Second places of FXCH, FCOM, FCOMP and FSTP: not in the tables of the SDM, executed by every x87.
D9 D8+i              | FSTP       STi                     | X87
DC D0+i              | FCOM       STi                     | X87
DC D8+i              | FCOMP      STi                     | X87
DD C8+i              | FXCH       STi                     | X87
DE D0+i              | FCOMP      STi                     | X87
DF C8+i              | FXCH       STi                     | X87
DF D0+i              | FSTP       STi                     | X87
DF D8+i              | FSTP       STi                     | X87
"""
