"""MMX, SSE to SSE4.2, AES and PCLMULQDQ (Intel SDM Vol. 2, appendix A, tables A-3 to A-6).

A table file: longer than our other files, one row an encoding, in the notation of `emulator/x86/notation.py`.
"""

ROWS = """
# 10-17: moves of floating-point values and their halves
np 0F 10             | MOVUPS     Vps,Wps                 | SSE unaligned
66 0F 10             | MOVUPD     Vpd,Wpd                 | SSE2 unaligned
F3 0F 10             | MOVSS      Vss,Wss                 | SSE
F2 0F 10             | MOVSD      Vsd,Wsd                 | SSE2
np 0F 11             | MOVUPS     Wps,Vps                 | SSE unaligned
66 0F 11             | MOVUPD     Wpd,Vpd                 | SSE2 unaligned
F3 0F 11             | MOVSS      Wss,Vss                 | SSE
F2 0F 11             | MOVSD      Wsd,Vsd                 | SSE2
np 0F 12             | MOVLPS     Vq,Mq                   | SSE
np 0F 12             | MOVHLPS    Vq,Uq                   | SSE
66 0F 12             | MOVLPD     Vq,Mq                   | SSE2
F3 0F 12             | MOVSLDUP   Vps,Wps                 | SSE3
F2 0F 12             | MOVDDUP    Vpd,Wq                  | SSE3
np 0F 13             | MOVLPS     Mq,Vq                   | SSE
66 0F 13             | MOVLPD     Mq,Vq                   | SSE2
np 0F 14             | UNPCKLPS   Vps,Wps                 | SSE
66 0F 14             | UNPCKLPD   Vpd,Wpd                 | SSE2
np 0F 15             | UNPCKHPS   Vps,Wps                 | SSE
66 0F 15             | UNPCKHPD   Vpd,Wpd                 | SSE2
np 0F 16             | MOVHPS     Vq,Mq                   | SSE
np 0F 16             | MOVLHPS    Vq,Uq                   | SSE
66 0F 16             | MOVHPD     Vq,Mq                   | SSE2
F3 0F 16             | MOVSHDUP   Vps,Wps                 | SSE3
np 0F 17             | MOVHPS     Mq,Vq                   | SSE
66 0F 17             | MOVHPD     Mq,Vq                   | SSE2

# 28-2F: aligned moves, conversion from and to integers, comparison into the flags
np 0F 28             | MOVAPS     Vps,Wps                 | SSE
66 0F 28             | MOVAPD     Vpd,Wpd                 | SSE2
np 0F 29             | MOVAPS     Wps,Vps                 | SSE
66 0F 29             | MOVAPD     Wpd,Vpd                 | SSE2
np 0F 2A             | CVTPI2PS   Vps,Qq                  | SSE
66 0F 2A             | CVTPI2PD   Vpd,Qq                  | SSE2
F3 0F 2A             | CVTSI2SS   Vss,Ey                  | SSE
F2 0F 2A             | CVTSI2SD   Vsd,Ey                  | SSE2
np 0F 2B             | MOVNTPS    Mps,Vps                 | SSE
66 0F 2B             | MOVNTPD    Mpd,Vpd                 | SSE2
np 0F 2C             | CVTTPS2PI  Pq,Wq                   | SSE
66 0F 2C             | CVTTPD2PI  Pq,Wpd                  | SSE2
F3 0F 2C             | CVTTSS2SI  Gy,Wss                  | SSE
F2 0F 2C             | CVTTSD2SI  Gy,Wsd                  | SSE2
np 0F 2D             | CVTPS2PI   Pq,Wq                   | SSE
66 0F 2D             | CVTPD2PI   Pq,Wpd                  | SSE2
F3 0F 2D             | CVTSS2SI   Gy,Wss                  | SSE
F2 0F 2D             | CVTSD2SI   Gy,Wsd                  | SSE2
np 0F 2E             | UCOMISS    Vss,Wss                 | SSE m:ZPC 0:OSA
66 0F 2E             | UCOMISD    Vsd,Wsd                 | SSE2 m:ZPC 0:OSA
np 0F 2F             | COMISS     Vss,Wss                 | SSE m:ZPC 0:OSA
66 0F 2F             | COMISD     Vsd,Wsd                 | SSE2 m:ZPC 0:OSA

# 50-5F: floating-point arithmetic and conversion
np 0F 50             | MOVMSKPS   Gy,Ups                  | SSE
66 0F 50             | MOVMSKPD   Gy,Upd                  | SSE2
np 0F 51             | SQRTPS     Vps,Wps                 | SSE
66 0F 51             | SQRTPD     Vpd,Wpd                 | SSE2
F3 0F 51             | SQRTSS     Vss,Wss                 | SSE
F2 0F 51             | SQRTSD     Vsd,Wsd                 | SSE2
np 0F 52             | RSQRTPS    Vps,Wps                 | SSE
F3 0F 52             | RSQRTSS    Vss,Wss                 | SSE
np 0F 53             | RCPPS      Vps,Wps                 | SSE
F3 0F 53             | RCPSS      Vss,Wss                 | SSE
np 0F 54             | ANDPS      Vps,Wps                 | SSE
66 0F 54             | ANDPD      Vpd,Wpd                 | SSE2
np 0F 55             | ANDNPS     Vps,Wps                 | SSE
66 0F 55             | ANDNPD     Vpd,Wpd                 | SSE2
np 0F 56             | ORPS       Vps,Wps                 | SSE
66 0F 56             | ORPD       Vpd,Wpd                 | SSE2
np 0F 57             | XORPS      Vps,Wps                 | SSE
66 0F 57             | XORPD      Vpd,Wpd                 | SSE2
np 0F 58             | ADDPS      Vps,Wps                 | SSE
66 0F 58             | ADDPD      Vpd,Wpd                 | SSE2
F3 0F 58             | ADDSS      Vss,Wss                 | SSE
F2 0F 58             | ADDSD      Vsd,Wsd                 | SSE2
np 0F 59             | MULPS      Vps,Wps                 | SSE
66 0F 59             | MULPD      Vpd,Wpd                 | SSE2
F3 0F 59             | MULSS      Vss,Wss                 | SSE
F2 0F 59             | MULSD      Vsd,Wsd                 | SSE2
np 0F 5A             | CVTPS2PD   Vpd,Wq                  | SSE2
66 0F 5A             | CVTPD2PS   Vps,Wpd                 | SSE2
F3 0F 5A             | CVTSS2SD   Vsd,Wss                 | SSE2
F2 0F 5A             | CVTSD2SS   Vss,Wsd                 | SSE2
np 0F 5B             | CVTDQ2PS   Vps,Wdq                 | SSE2
66 0F 5B             | CVTPS2DQ   Vdq,Wps                 | SSE2
F3 0F 5B             | CVTTPS2DQ  Vdq,Wps                 | SSE2
np 0F 5C             | SUBPS      Vps,Wps                 | SSE
66 0F 5C             | SUBPD      Vpd,Wpd                 | SSE2
F3 0F 5C             | SUBSS      Vss,Wss                 | SSE
F2 0F 5C             | SUBSD      Vsd,Wsd                 | SSE2
np 0F 5D             | MINPS      Vps,Wps                 | SSE
66 0F 5D             | MINPD      Vpd,Wpd                 | SSE2
F3 0F 5D             | MINSS      Vss,Wss                 | SSE
F2 0F 5D             | MINSD      Vsd,Wsd                 | SSE2
np 0F 5E             | DIVPS      Vps,Wps                 | SSE
66 0F 5E             | DIVPD      Vpd,Wpd                 | SSE2
F3 0F 5E             | DIVSS      Vss,Wss                 | SSE
F2 0F 5E             | DIVSD      Vsd,Wsd                 | SSE2
np 0F 5F             | MAXPS      Vps,Wps                 | SSE
66 0F 5F             | MAXPD      Vpd,Wpd                 | SSE2
F3 0F 5F             | MAXSS      Vss,Wss                 | SSE
F2 0F 5F             | MAXSD      Vsd,Wsd                 | SSE2

# 60-6F: interleave, pack, compare, move
np 0F 60             | PUNPCKLBW  Pq,Qd                   | MMX
66 0F 60             | PUNPCKLBW  Vdq,Wdq                 | SSE2
np 0F 61             | PUNPCKLWD  Pq,Qd                   | MMX
66 0F 61             | PUNPCKLWD  Vdq,Wdq                 | SSE2
np 0F 62             | PUNPCKLDQ  Pq,Qd                   | MMX
66 0F 62             | PUNPCKLDQ  Vdq,Wdq                 | SSE2
np 0F 63             | PACKSSWB   Pq,Qq                   | MMX
66 0F 63             | PACKSSWB   Vdq,Wdq                 | SSE2
np 0F 64             | PCMPGTB    Pq,Qq                   | MMX
66 0F 64             | PCMPGTB    Vdq,Wdq                 | SSE2
np 0F 65             | PCMPGTW    Pq,Qq                   | MMX
66 0F 65             | PCMPGTW    Vdq,Wdq                 | SSE2
np 0F 66             | PCMPGTD    Pq,Qq                   | MMX
66 0F 66             | PCMPGTD    Vdq,Wdq                 | SSE2
np 0F 67             | PACKUSWB   Pq,Qq                   | MMX
66 0F 67             | PACKUSWB   Vdq,Wdq                 | SSE2
np 0F 68             | PUNPCKHBW  Pq,Qq                   | MMX
66 0F 68             | PUNPCKHBW  Vdq,Wdq                 | SSE2
np 0F 69             | PUNPCKHWD  Pq,Qq                   | MMX
66 0F 69             | PUNPCKHWD  Vdq,Wdq                 | SSE2
np 0F 6A             | PUNPCKHDQ  Pq,Qq                   | MMX
66 0F 6A             | PUNPCKHDQ  Vdq,Wdq                 | SSE2
np 0F 6B             | PACKSSDW   Pq,Qq                   | MMX
66 0F 6B             | PACKSSDW   Vdq,Wdq                 | SSE2
66 0F 6C             | PUNPCKLQDQ Vdq,Wdq                 | SSE2
66 0F 6D             | PUNPCKHQDQ Vdq,Wdq                 | SSE2
np 0F 6E             | MOVD/MOVQ  Pq,Ey                   | MMX
66 0F 6E             | MOVD/MOVQ  Vdq,Ey                  | SSE2
np 0F 6F             | MOVQ       Pq,Qq                   | MMX
66 0F 6F             | MOVDQA     Vdq,Wdq                 | SSE2
F3 0F 6F             | MOVDQU     Vdq,Wdq                 | SSE2 unaligned

# 70-7F: shuffles, groups 12 to 14 (shifts by an immediate), compare, horizontal arithmetic, move
np 0F 70             | PSHUFW     Pq,Qq,Ib                | SSE
66 0F 70             | PSHUFD     Vdq,Wdq,Ib              | SSE2
F3 0F 70             | PSHUFHW    Vdq,Wdq,Ib              | SSE2
F2 0F 70             | PSHUFLW    Vdq,Wdq,Ib              | SSE2
np 0F 71 /2          | PSRLW      Nq,Ib                   | MMX
66 0F 71 /2          | PSRLW      Udq,Ib                  | SSE2
np 0F 71 /4          | PSRAW      Nq,Ib                   | MMX
66 0F 71 /4          | PSRAW      Udq,Ib                  | SSE2
np 0F 71 /6          | PSLLW      Nq,Ib                   | MMX
66 0F 71 /6          | PSLLW      Udq,Ib                  | SSE2
np 0F 72 /2          | PSRLD      Nq,Ib                   | MMX
66 0F 72 /2          | PSRLD      Udq,Ib                  | SSE2
np 0F 72 /4          | PSRAD      Nq,Ib                   | MMX
66 0F 72 /4          | PSRAD      Udq,Ib                  | SSE2
np 0F 72 /6          | PSLLD      Nq,Ib                   | MMX
66 0F 72 /6          | PSLLD      Udq,Ib                  | SSE2
np 0F 73 /2          | PSRLQ      Nq,Ib                   | MMX
66 0F 73 /2          | PSRLQ      Udq,Ib                  | SSE2
66 0F 73 /3          | PSRLDQ     Udq,Ib                  | SSE2
np 0F 73 /6          | PSLLQ      Nq,Ib                   | MMX
66 0F 73 /6          | PSLLQ      Udq,Ib                  | SSE2
66 0F 73 /7          | PSLLDQ     Udq,Ib                  | SSE2
np 0F 74             | PCMPEQB    Pq,Qq                   | MMX
66 0F 74             | PCMPEQB    Vdq,Wdq                 | SSE2
np 0F 75             | PCMPEQW    Pq,Qq                   | MMX
66 0F 75             | PCMPEQW    Vdq,Wdq                 | SSE2
np 0F 76             | PCMPEQD    Pq,Qq                   | MMX
66 0F 76             | PCMPEQD    Vdq,Wdq                 | SSE2
np 0F 77             | EMMS                               | MMX
66 0F 7C             | HADDPD     Vpd,Wpd                 | SSE3
F2 0F 7C             | HADDPS     Vps,Wps                 | SSE3
66 0F 7D             | HSUBPD     Vpd,Wpd                 | SSE3
F2 0F 7D             | HSUBPS     Vps,Wps                 | SSE3
np 0F 7E             | MOVD/MOVQ  Ey,Pq                   | MMX
66 0F 7E             | MOVD/MOVQ  Ey,Vdq                  | SSE2
F3 0F 7E             | MOVQ       Vq,Wq                   | SSE2
np 0F 7F             | MOVQ       Qq,Pq                   | MMX
66 0F 7F             | MOVDQA     Wdq,Vdq                 | SSE2
F3 0F 7F             | MOVDQU     Wdq,Vdq                 | SSE2 unaligned

# C2-C6: compare by a predicate, words, shuffles
np 0F C2             | CMPPS      Vps,Wps,Ib              | SSE
66 0F C2             | CMPPD      Vpd,Wpd,Ib              | SSE2
F3 0F C2             | CMPSS      Vss,Wss,Ib              | SSE
F2 0F C2             | CMPSD      Vsd,Wsd,Ib              | SSE2
np 0F C4             | PINSRW     Pq,Rd/Mw,Ib             | SSE
66 0F C4             | PINSRW     Vdq,Rd/Mw,Ib            | SSE2
np 0F C5             | PEXTRW     Gd,Nq,Ib                | SSE
66 0F C5             | PEXTRW     Gd,Udq,Ib               | SSE2
np 0F C6             | SHUFPS     Vps,Wps,Ib              | SSE
66 0F C6             | SHUFPD     Vpd,Wpd,Ib              | SSE2

# D0-FE: integer arithmetic
66 0F D0             | ADDSUBPD   Vpd,Wpd                 | SSE3
F2 0F D0             | ADDSUBPS   Vps,Wps                 | SSE3
np 0F D1             | PSRLW      Pq,Qq                   | MMX
66 0F D1             | PSRLW      Vdq,Wdq                 | SSE2
np 0F D2             | PSRLD      Pq,Qq                   | MMX
66 0F D2             | PSRLD      Vdq,Wdq                 | SSE2
np 0F D3             | PSRLQ      Pq,Qq                   | MMX
66 0F D3             | PSRLQ      Vdq,Wdq                 | SSE2
np 0F D4             | PADDQ      Pq,Qq                   | SSE2
66 0F D4             | PADDQ      Vdq,Wdq                 | SSE2
np 0F D5             | PMULLW     Pq,Qq                   | MMX
66 0F D5             | PMULLW     Vdq,Wdq                 | SSE2
66 0F D6             | MOVQ       Wq,Vq                   | SSE2
F3 0F D6             | MOVQ2DQ    Vdq,Nq                  | SSE2
F2 0F D6             | MOVDQ2Q    Pq,Uq                   | SSE2
np 0F D7             | PMOVMSKB   Gy,Nq                   | SSE
66 0F D7             | PMOVMSKB   Gy,Udq                  | SSE2
np 0F D8             | PSUBUSB    Pq,Qq                   | MMX
66 0F D8             | PSUBUSB    Vdq,Wdq                 | SSE2
np 0F D9             | PSUBUSW    Pq,Qq                   | MMX
66 0F D9             | PSUBUSW    Vdq,Wdq                 | SSE2
np 0F DA             | PMINUB     Pq,Qq                   | SSE
66 0F DA             | PMINUB     Vdq,Wdq                 | SSE2
np 0F DB             | PAND       Pq,Qq                   | MMX
66 0F DB             | PAND       Vdq,Wdq                 | SSE2
np 0F DC             | PADDUSB    Pq,Qq                   | MMX
66 0F DC             | PADDUSB    Vdq,Wdq                 | SSE2
np 0F DD             | PADDUSW    Pq,Qq                   | MMX
66 0F DD             | PADDUSW    Vdq,Wdq                 | SSE2
np 0F DE             | PMAXUB     Pq,Qq                   | SSE
66 0F DE             | PMAXUB     Vdq,Wdq                 | SSE2
np 0F DF             | PANDN      Pq,Qq                   | MMX
66 0F DF             | PANDN      Vdq,Wdq                 | SSE2
np 0F E0             | PAVGB      Pq,Qq                   | SSE
66 0F E0             | PAVGB      Vdq,Wdq                 | SSE2
np 0F E1             | PSRAW      Pq,Qq                   | MMX
66 0F E1             | PSRAW      Vdq,Wdq                 | SSE2
np 0F E2             | PSRAD      Pq,Qq                   | MMX
66 0F E2             | PSRAD      Vdq,Wdq                 | SSE2
np 0F E3             | PAVGW      Pq,Qq                   | SSE
66 0F E3             | PAVGW      Vdq,Wdq                 | SSE2
np 0F E4             | PMULHUW    Pq,Qq                   | SSE
66 0F E4             | PMULHUW    Vdq,Wdq                 | SSE2
np 0F E5             | PMULHW     Pq,Qq                   | MMX
66 0F E5             | PMULHW     Vdq,Wdq                 | SSE2
66 0F E6             | CVTTPD2DQ  Vdq,Wpd                 | SSE2
F3 0F E6             | CVTDQ2PD   Vpd,Wq                  | SSE2
F2 0F E6             | CVTPD2DQ   Vdq,Wpd                 | SSE2
np 0F E7             | MOVNTQ     Mq,Pq                   | SSE
66 0F E7             | MOVNTDQ    Mdq,Vdq                 | SSE2
np 0F E8             | PSUBSB     Pq,Qq                   | MMX
66 0F E8             | PSUBSB     Vdq,Wdq                 | SSE2
np 0F E9             | PSUBSW     Pq,Qq                   | MMX
66 0F E9             | PSUBSW     Vdq,Wdq                 | SSE2
np 0F EA             | PMINSW     Pq,Qq                   | SSE
66 0F EA             | PMINSW     Vdq,Wdq                 | SSE2
np 0F EB             | POR        Pq,Qq                   | MMX
66 0F EB             | POR        Vdq,Wdq                 | SSE2
np 0F EC             | PADDSB     Pq,Qq                   | MMX
66 0F EC             | PADDSB     Vdq,Wdq                 | SSE2
np 0F ED             | PADDSW     Pq,Qq                   | MMX
66 0F ED             | PADDSW     Vdq,Wdq                 | SSE2
np 0F EE             | PMAXSW     Pq,Qq                   | SSE
66 0F EE             | PMAXSW     Vdq,Wdq                 | SSE2
np 0F EF             | PXOR       Pq,Qq                   | MMX
66 0F EF             | PXOR       Vdq,Wdq                 | SSE2
F2 0F F0             | LDDQU      Vdq,Mdq                 | SSE3 unaligned
np 0F F1             | PSLLW      Pq,Qq                   | MMX
66 0F F1             | PSLLW      Vdq,Wdq                 | SSE2
np 0F F2             | PSLLD      Pq,Qq                   | MMX
66 0F F2             | PSLLD      Vdq,Wdq                 | SSE2
np 0F F3             | PSLLQ      Pq,Qq                   | MMX
66 0F F3             | PSLLQ      Vdq,Wdq                 | SSE2
np 0F F4             | PMULUDQ    Pq,Qq                   | SSE2
66 0F F4             | PMULUDQ    Vdq,Wdq                 | SSE2
np 0F F5             | PMADDWD    Pq,Qq                   | MMX
66 0F F5             | PMADDWD    Vdq,Wdq                 | SSE2
np 0F F6             | PSADBW     Pq,Qq                   | SSE
66 0F F6             | PSADBW     Vdq,Wdq                 | SSE2
np 0F F7             | MASKMOVQ   Pq,Nq                   | SSE
66 0F F7             | MASKMOVDQU Vdq,Udq                 | SSE2 unaligned
np 0F F8             | PSUBB      Pq,Qq                   | MMX
66 0F F8             | PSUBB      Vdq,Wdq                 | SSE2
np 0F F9             | PSUBW      Pq,Qq                   | MMX
66 0F F9             | PSUBW      Vdq,Wdq                 | SSE2
np 0F FA             | PSUBD      Pq,Qq                   | MMX
66 0F FA             | PSUBD      Vdq,Wdq                 | SSE2
np 0F FB             | PSUBQ      Pq,Qq                   | SSE2
66 0F FB             | PSUBQ      Vdq,Wdq                 | SSE2
np 0F FC             | PADDB      Pq,Qq                   | MMX
66 0F FC             | PADDB      Vdq,Wdq                 | SSE2
np 0F FD             | PADDW      Pq,Qq                   | MMX
66 0F FD             | PADDW      Vdq,Wdq                 | SSE2
np 0F FE             | PADDD      Pq,Qq                   | MMX
66 0F FE             | PADDD      Vdq,Wdq                 | SSE2

# 0F 38: SSSE3, SSE4, AES
np 0F 38 00          | PSHUFB     Pq,Qq                   | SSSE3
66 0F 38 00          | PSHUFB     Vdq,Wdq                 | SSSE3
np 0F 38 01          | PHADDW     Pq,Qq                   | SSSE3
66 0F 38 01          | PHADDW     Vdq,Wdq                 | SSSE3
np 0F 38 02          | PHADDD     Pq,Qq                   | SSSE3
66 0F 38 02          | PHADDD     Vdq,Wdq                 | SSSE3
np 0F 38 03          | PHADDSW    Pq,Qq                   | SSSE3
66 0F 38 03          | PHADDSW    Vdq,Wdq                 | SSSE3
np 0F 38 04          | PMADDUBSW  Pq,Qq                   | SSSE3
66 0F 38 04          | PMADDUBSW  Vdq,Wdq                 | SSSE3
np 0F 38 05          | PHSUBW     Pq,Qq                   | SSSE3
66 0F 38 05          | PHSUBW     Vdq,Wdq                 | SSSE3
np 0F 38 06          | PHSUBD     Pq,Qq                   | SSSE3
66 0F 38 06          | PHSUBD     Vdq,Wdq                 | SSSE3
np 0F 38 07          | PHSUBSW    Pq,Qq                   | SSSE3
66 0F 38 07          | PHSUBSW    Vdq,Wdq                 | SSSE3
np 0F 38 08          | PSIGNB     Pq,Qq                   | SSSE3
66 0F 38 08          | PSIGNB     Vdq,Wdq                 | SSSE3
np 0F 38 09          | PSIGNW     Pq,Qq                   | SSSE3
66 0F 38 09          | PSIGNW     Vdq,Wdq                 | SSSE3
np 0F 38 0A          | PSIGND     Pq,Qq                   | SSSE3
66 0F 38 0A          | PSIGND     Vdq,Wdq                 | SSSE3
np 0F 38 0B          | PMULHRSW   Pq,Qq                   | SSSE3
66 0F 38 0B          | PMULHRSW   Vdq,Wdq                 | SSSE3
66 0F 38 10          | PBLENDVB   Vdq,Wdq,XMM0            | SSE4.1
66 0F 38 14          | BLENDVPS   Vdq,Wdq,XMM0            | SSE4.1
66 0F 38 15          | BLENDVPD   Vdq,Wdq,XMM0            | SSE4.1
66 0F 38 17          | PTEST      Vdq,Wdq                 | SSE4.1 m:ZC 0:OSAP
np 0F 38 1C          | PABSB      Pq,Qq                   | SSSE3
66 0F 38 1C          | PABSB      Vdq,Wdq                 | SSSE3
np 0F 38 1D          | PABSW      Pq,Qq                   | SSSE3
66 0F 38 1D          | PABSW      Vdq,Wdq                 | SSSE3
np 0F 38 1E          | PABSD      Pq,Qq                   | SSSE3
66 0F 38 1E          | PABSD      Vdq,Wdq                 | SSSE3
66 0F 38 20          | PMOVSXBW   Vdq,Wq                  | SSE4.1
66 0F 38 21          | PMOVSXBD   Vdq,Wd                  | SSE4.1
66 0F 38 22          | PMOVSXBQ   Vdq,Ww                  | SSE4.1
66 0F 38 23          | PMOVSXWD   Vdq,Wq                  | SSE4.1
66 0F 38 24          | PMOVSXWQ   Vdq,Wd                  | SSE4.1
66 0F 38 25          | PMOVSXDQ   Vdq,Wq                  | SSE4.1
66 0F 38 28          | PMULDQ     Vdq,Wdq                 | SSE4.1
66 0F 38 29          | PCMPEQQ    Vdq,Wdq                 | SSE4.1
66 0F 38 2A          | MOVNTDQA   Vdq,Mdq                 | SSE4.1
66 0F 38 2B          | PACKUSDW   Vdq,Wdq                 | SSE4.1
66 0F 38 30          | PMOVZXBW   Vdq,Wq                  | SSE4.1
66 0F 38 31          | PMOVZXBD   Vdq,Wd                  | SSE4.1
66 0F 38 32          | PMOVZXBQ   Vdq,Ww                  | SSE4.1
66 0F 38 33          | PMOVZXWD   Vdq,Wq                  | SSE4.1
66 0F 38 34          | PMOVZXWQ   Vdq,Wd                  | SSE4.1
66 0F 38 35          | PMOVZXDQ   Vdq,Wq                  | SSE4.1
66 0F 38 37          | PCMPGTQ    Vdq,Wdq                 | SSE4.2
66 0F 38 38          | PMINSB     Vdq,Wdq                 | SSE4.1
66 0F 38 39          | PMINSD     Vdq,Wdq                 | SSE4.1
66 0F 38 3A          | PMINUW     Vdq,Wdq                 | SSE4.1
66 0F 38 3B          | PMINUD     Vdq,Wdq                 | SSE4.1
66 0F 38 3C          | PMAXSB     Vdq,Wdq                 | SSE4.1
66 0F 38 3D          | PMAXSD     Vdq,Wdq                 | SSE4.1
66 0F 38 3E          | PMAXUW     Vdq,Wdq                 | SSE4.1
66 0F 38 3F          | PMAXUD     Vdq,Wdq                 | SSE4.1
66 0F 38 40          | PMULLD     Vdq,Wdq                 | SSE4.1
66 0F 38 41          | PHMINPOSUW Vdq,Wdq                 | SSE4.1
66 0F 38 DB          | AESIMC     Vdq,Wdq                 | AES
66 0F 38 DC          | AESENC     Vdq,Wdq                 | AES
66 0F 38 DD          | AESENCLAST Vdq,Wdq                 | AES
66 0F 38 DE          | AESDEC     Vdq,Wdq                 | AES
66 0F 38 DF          | AESDECLAST Vdq,Wdq                 | AES

# 0F 3A: with an immediate
66 0F 3A 08          | ROUNDPS    Vps,Wps,Ib              | SSE4.1
66 0F 3A 09          | ROUNDPD    Vpd,Wpd,Ib              | SSE4.1
66 0F 3A 0A          | ROUNDSS    Vss,Wss,Ib              | SSE4.1
66 0F 3A 0B          | ROUNDSD    Vsd,Wsd,Ib              | SSE4.1
66 0F 3A 0C          | BLENDPS    Vps,Wps,Ib              | SSE4.1
66 0F 3A 0D          | BLENDPD    Vpd,Wpd,Ib              | SSE4.1
66 0F 3A 0E          | PBLENDW    Vdq,Wdq,Ib              | SSE4.1
np 0F 3A 0F          | PALIGNR    Pq,Qq,Ib                | SSSE3
66 0F 3A 0F          | PALIGNR    Vdq,Wdq,Ib              | SSSE3
66 0F 3A 14          | PEXTRB     Rd/Mb,Vdq,Ib            | SSE4.1
66 0F 3A 15          | PEXTRW     Rd/Mw,Vdq,Ib            | SSE4.1
66 0F 3A 16          | PEXTRD/PEXTRQ Ey,Vdq,Ib            | SSE4.1
66 0F 3A 17          | EXTRACTPS  Ed,Vdq,Ib               | SSE4.1
66 0F 3A 20          | PINSRB     Vdq,Rd/Mb,Ib            | SSE4.1
66 0F 3A 21          | INSERTPS   Vdq,Wd,Ib               | SSE4.1
66 0F 3A 22          | PINSRD/PINSRQ Vdq,Ey,Ib            | SSE4.1
66 0F 3A 40          | DPPS       Vps,Wps,Ib              | SSE4.1
66 0F 3A 41          | DPPD       Vpd,Wpd,Ib              | SSE4.1
66 0F 3A 42          | MPSADBW    Vdq,Wdq,Ib              | SSE4.1
66 0F 3A 44          | PCLMULQDQ  Vdq,Wdq,Ib              | PCLMULQDQ
66 0F 3A 60          | PCMPESTRM  Vdq,Wdq,Ib              | SSE4.2 unaligned m:OSZC 0:AP
66 0F 3A 61          | PCMPESTRI  Vdq,Wdq,Ib              | SSE4.2 unaligned m:OSZC 0:AP
66 0F 3A 62          | PCMPISTRM  Vdq,Wdq,Ib              | SSE4.2 unaligned m:OSZC 0:AP
66 0F 3A 63          | PCMPISTRI  Vdq,Wdq,Ib              | SSE4.2 unaligned m:OSZC 0:AP
66 0F 3A DF          | AESKEYGENASSIST Vdq,Wdq,Ib         | AES
"""
