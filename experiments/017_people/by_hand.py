"""Sixty payloads written by hand, in a shorthand: never trained on, never selected on.

A line: format style section budget bpm energy; stems id=class[@lufs]; rules. Features that a line does not say are the
usual ones of its class. `python experiments/017_people/by_hand.py > by_hand.jsonl` writes them out.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.draw import CHARACTER, IDS
from physworld.spatial.scene.reading import dumps, payload_from

LONG = {short: name for name, short in IDS.items()} | {name: name for name in IDS} | {"lead": "synth_lead"}
LINES = """
iamf club drop 10 128 .9; Kick=kick@-9 Clap=snare Hats=hh Ride=hh@-26 Sub=bass@-10 Saw=lead Stab=lead Pad=pad Riser=fx Vox=vox; mono 120; anchor Vox 0 10 1.2; sep Saw Stab 45; width pad .8; move all 30
iamf pop chorus 12 102 .7; LeadVox=vox@-14 DoubleL=bv DoubleR=bv Kick=kick Snare=sn HH=hh Bass=bass GtrL=gtr GtrR=gtr Keys=pno; anchor LeadVox 0 0 1.5; sep GtrL GtrR 60; mono 100; width bv .3
binaural jazz verse 8 140 .4; Drums=drums Bass=bass Piano=pno Tpt=brs Sax=brs; anchor Piano 40 0 2.5; anchor Tpt -35 5 3; anchor Sax -60 5 3; mono 80
7.1.4 orchestral intro 16 72 .3; Vln1=str Vln2=str Vla=str Vc=str Cb=str@-18 Hn=brs Tpt=brs Tbn=brs Harp=oth Timp=drums; anchor Vln1 35 10 5; anchor Vln2 60 10 5; anchor Vc -40 5 5; anchor Hn 160 15 8; el all 0 30
7.1.4 cinematic bridge 10 90 .6; Dialog=dlg Boom=fx Whoosh=fx Rain=amb Low=bass Str=str; anchor Dialog 0 0 2; anchor Rain 180 60 6; move Whoosh 60; mono 80; bed amb
iamf ambient intro 6 60 .2; Drone=pad Bells=lead Wind=amb Air=pad; width pad .9; anchor Bells 175 40 3; el amb 20 80
5.1.4 rock chorus 14 168 .95; Vox=vox BGV1=bv BGV2=bv K=kick S=sn OH=drums Bs=bass GL=gtr GR=gtr GSolo=gtr; mono 120; anchor Vox 0 5 1.4; sep GL GR 90; anchor GSolo -15 10 1.8; width drums .5
binaural hiphop verse 8 88 .6; Rap=vox Adlib=vox 808=bass@-9 Kick=kick Snr=sn Hat=hh Sample=oth; anchor Rap 0 0 .7; anchor Adlib 110 10 1.5; mono 150; sep Rap Adlib 40
iamf pop verse 4 95.5 .35; Vox=vox Gtr=gtr; anchor Vox 0 0 1; anchor Gtr -20 -5 1.5
iamf club build 20 130 .8; K=kick S=sn H1=hh H2=hh B=bass L1=lead L2=lead P1=pad P2=pad F1=fx F2=fx F3=fx V=vox BV=bv A=amb; mono 120; move fx 45; sep lead pad 20; el fx 10 60; width amb .95
7.1.4 cinematic breakdown 8 66 .25; VO=dlg Piano=pno Vln=str Cello=str Sub=fx Amb=amb; anchor VO 0 0 1.8; anchor Amb -170 50 9; sep VO Piano 35; width str .6-.9
binaural ambient outro 5 50 .1; Rain=amb Birds=fx Pad=pad Voice=dlg; anchor Voice 0 0 .5; anchor Birds 145 70 10; bed amb; width pad 1
iamf jazz outro 7 120 .5; Kit=drums UprightBass=bass Rhodes=pno Gtr=gtr Vibes=oth Vox=vox; anchor Vox 0 3 1.6; anchor UprightBass 0 -5 2; sep Rhodes Gtr 50; move all 0
5.1.4 orchestral bridge 20 76 .8; V1=str V2=str VA=str VC=str DB=str FL=oth OB=oth CL=oth BN=oth HN=brs TP=brs TB=brs TU=brs TI=drums PC=drums CH=bv HP=pno AM=amb; el str 0 15; el brs 5 25; width str .7; anchor CH 180 30 10; bed amb
iamf rock verse 9 124 .6; Vox=vox Kick=kick Snare=sn Hat=hh Bass=bass Gtr1=gtr Gtr2=gtr Organ=pno; sep Gtr1 Gtr2 70; sep Vox Organ 25; mono 110; anchor Kick 0 -10 2
7.1.4 pop drop 11 118 .85; Vox=vox BV=bv K=kick Clap=sn Bass=bass Pluck=lead Lead=lead Pad=pad FX=fx; width lead .2-.5; anchor Lead 30 20 2.2; anchor Pluck -30 20 2.2; mono 120
binaural cinematic chorus 6 100 .9; Brass=brs Strings=str Drums=drums Choir=bv; anchor Choir 0 80 4; anchor Drums 0 0 3; sep Brass Strings 80
iamf hiphop chorus 9 75 .7; V1=vox V2=vox V3=bv Kick=kick 808s=bass Snare=sn Hats=hh Keys=pno Bells=lead; anchor V1 0 0 1.2; sep V1 V2 30; sep V1 Bells 45; mono 130; width V3c .4
iamf club intro 6 124 .4; Kick=kick Hats=hh Pad=pad Vinyl=amb; anchor Vinyl -180 0 6; el pad 30 90; mono 120
5.1.4 jazz chorus 8 200 .8; Kit=drums Bass=bass Pno=pno Tp=brs Tb=brs As=brs; anchor Tp -25 5 3; anchor Tb -50 5 3.5; anchor As 25 5 3; width brs .15
binaural pop bridge 7 80 .3; Vox=vox Pno=pno Str=str Cello=str BGV=bv; anchor Vox 0 0 .8; anchor Pno 25 -10 2; anchor Cello -75 0 2.5; el bv 20 60
7.1.4 ambient breakdown 9 70 .3; P1=pad P2=pad P3=pad Arp=lead Field=amb Tape=oth Sub=bass; anchor P1 90 30 4; anchor P2 -90 30 4; anchor P3 180 30 4; mono 60; width pad .85
iamf cinematic intro 3 110 .5; Hit=fx Sub=fx Riser=fx Dx=dlg Mx=str; anchor Dx 0 0 2; move Riser 90
iamf rock build 10 150 .7; Vox=vox Gang=bv K=kick S=sn T=drums B=bass G1=gtr G2=gtr G3=gtr Syn=lead; sep gtr gtr 40; mono 120; width gtr .2; anchor Vox 0 0 1.3
binaural club breakdown 8 122 .3; Vox=vox Pad=pad Piano=pno Strings=str FX1=fx FX2=fx; anchor Vox 0 15 1; anchor FX1 120 50 5; anchor FX2 -120 50 5; sep Piano Pad 30
7.1.4 hiphop intro 5 92 .4; Vox=vox Scratch=fx Loop=drums Bass=bass; mono 100; anchor Scratch 65.5 12.5 1.75
iamf orchestral verse 12 84 .5; VlnI=str VlnII=str Violas=str Celli=str Basses=str Horns=brs Flutes=oth Oboe=oth Harp=oth Timp=drums; anchor VlnI 30.4 8.2 5.5; anchor Celli -35.7 3.1 5.2; anchor Timp 155 20 9; move all 5
5.1.4 pop outro 6 98 .2; Vox=vox Gtr=gtr Pad=pad Shaker=hh Bass=bass; mono 90; anchor Gtr 47 -12 2.2; anchor Pad 180 45 5
iamf jazz bridge 4 110 .6; Trio=oth Bass=bass Kit=drums Pno=pno; anchor Bass -10 0 2; sep Pno Kit 60
binaural hiphop breakdown 6 70 .2; Rap=vox Hook=vox Pad=pad Keys=pno Noise=amb; sep Rap Hook 15; anchor Rap 0 0 .5; anchor Noise 0 90 15
7.1.4 club chorus 16 126 .9; K=kick C=sn H=hh S=hh B1=bass B2=bass L=lead A=lead P=pad Q=pad V=vox W=bv X=bv F=fx Z=amb; mono 120; anchor V 0 5 1.5; width bv .35; sep V lead 25; el hh 0 20
iamf ambient chorus 8 88 .5; Pad1=pad Pad2=pad Gtr=gtr Voice=bv Piano=pno Noise=amb; anchor Voice -160 35 3.5; width pad .6-1; move pad 15
iamf cinematic verse 7 96 .4; Dialog=dlg Walla=amb Steps=fx Door=fx Score=str Low=brs; anchor Dialog 0 0 1.5; anchor Steps -100 -20 2; anchor Door 135 0 6; bed amb; sep Steps Door 90
5.1.4 rock outro 5 110 .5; Vox=vox Gtr=gtr Bass=bass Drums=drums; mono 100; sep Vox Gtr 30; anchor Drums 0 0 2.5
binaural pop intro 4 104 .3; Whisper=vox Pad=pad Clock=fx; anchor Whisper 90 0 .5; anchor Clock -90 0 .5
iamf rock drop 8 140 1; Scream=vox K=kick S=sn B=bass G1=gtr G2=gtr; anchor G1 75 0 2; anchor G2 -75 0 2; anchor Scream 0 8 1.1; mono 150; width gtr .25
7.1.4 pop chorus 32 128 .8; Vox=vox Dbl=vox H1=bv H2=bv H3=bv H4=bv K=kick S=sn C=hh B=bass G=gtr A=gtr P=pno Y=lead D=pad F=fx; anchor Vox 0 0 1.4; sep Vox Dbl 10; width H .3; mono 120; el bv 10 40
iamf club outro 3 120 .3; Kick=kick Pad=pad Amb=amb Hats=hh; mono 120; width pad .75
binaural orchestral outro 6 60 .2; Strings=str Solo=str Horn=brs Organ=pno; anchor Solo 12 5 3; anchor Horn -178 10 12; anchor Organ 0 60 12
iamf hiphop drop 10 140 .9; Vox=vox Ad1=bv Ad2=bv 808=bass Kick=kick Snare=sn Hat1=hh Hat2=hh Lead=lead Fx=fx; anchor Ad1 95 0 1.5; anchor Ad2 -95 0 1.5; sep Hat1 Hat2 60; mono 120
5.1.4 cinematic build 9 120 .7; Perc1=drums Perc2=drums Pulse=bass Riser=fx Str=str Brs=brs Choir=bv; anchor Choir 180 45 8; move fx 50; mono 100; sep Perc1 Perc2 100
iamf jazz intro 2 66 .2; Piano=pno Sax=brs; anchor Sax -22 6 1.9
7.1.4 rock breakdown 7 96 .3; Vox=vox Ac=gtr El=gtr Mello=str Bass=bass Tamb=hh; anchor Vox 0 0 1.2; width Mello .8; sep Ac El 55; el hh 5 35
iamf pop build 9 125 .6; Vox=vox Chop=fx Clap=sn Kick=kick Bass=bass Chord=pno Riser=fx Pad=pad; move Riser 35; anchor Chop 33 22 1.7; anchor Chop2 -33 22 1.7; mono 120
binaural ambient build 6 84 .4; Sea=amb Wind=amb Pad=pad Bowl=oth Chime=fx; bed amb; anchor Bowl 0 0 1; anchor Chime 60 85 2
iamf orchestral drop 9 132 1; Tutti=str Brass=brs Perc=drums Choir=bv Organ=pno Bells=oth; width Tutti .9; sep Brass Choir 45; anchor Perc 180 10 7; el all -10 60
5.1.4 club verse 7 118 .5; Vox=vox Kick=kick Bass=bass Clav=pno Gtr=gtr Perc=drums; anchor Vox 0 0 1.5; anchor Vox 30 0 1.5; mono 110
iamf rock bridge 8 88 .4; Vox=vox Vox2=vox Vox3=vox Gtr=gtr Bass=bass Drums=drums; anchor Vox -5 0 1.3; anchor Vox2 55 10 2; anchor Vox3 -55 10 2; mono 80; width vox .2
7.1.4 jazz breakdown 5 160 .5; Brushes=drums Bass=bass Flute=oth Pno=pno; el all 0 20; move all 0; sep Flute Pno 75
iamf cinematic outro 5 80 .2; Piano=pno Cello=str Sub=bass Air=amb; anchor Piano 0 -15 3; anchor Air 180 75 14; width amb 1; mono 60
binaural club build 7 132 .85; Kick=kick Snare=sn Bass=bass Sweep=fx Arp=lead Vox=vox; move fx 60; sep Arp Vox 35; mono 120; anchor Vox 0 0 .9
iamf hiphop bridge 6 78 .35; Poem=dlg Keys=pno Sub=bass Vinyl=amb Choir=bv; anchor Poem 0 0 .6; anchor Choir 150 30 4; bed amb
7.1.4 ambient verse2 8 72 .3; A=pad B=pad C=pad D=pad E=lead F=gtr; sep pad pad 40; width pad .7; el lead 20 50
iamf pop verse 3 90 .4; Vox=vox Uke=gtr Bass=bass Egg=hh Keys=pno; mono 100; anchor Egg 85 0 1.2
5.1.4 hiphop verse 9 94 .5; Rap=vox Dub=bv K=kick S=sn H=hh B=bass Strs=str Brs=brs; sep Rap Strs 40; sep Rap Brs 40; anchor Rap 0 2 1.1; mono 120
iamf club drop 8 150 1; Kick=kick Bass=bass Lead=lead Screech=lead Hat=hh Shout=vox; anchor Kick 10 0 2; mono 120; sep Lead Screech 70; width lead .1-.3
binaural rock intro2 4 72 .3; Gtr=gtr Noise=fx Vox=vox; anchor Gtr -128.5 -33 .9; anchor Noise 171 62.5 11.2
7.1.4 orchestral build 14 108 .7; V1=str V2=str Va=str Vc=str Cb=str H1=brs H2=brs T1=brs T2=brs Ti=drums Cy=hh; anchor V1 28 7 5; anchor Vc -28 7 5; width brs .2-.4; mono 60; sep H1 T1 20
iamf ambient outro 12 45 .05; Pad=pad Sub=bass Hum=oth Bird=fx Bird2=fx Bird3=fx Stream=amb; anchor Bird 33 55 6; anchor Bird2 -140 40 8; anchor Bird3 100 65 4.5; move fx 0; mono 50
iamf pop chorus 2 110 .8; Vox=vox Kick=kick Bass=bass Syn=lead Gtr=gtr; anchor Vox 0 0 1.5; anchor Gtr 45 0 2; anchor Syn -45 0 2; mono 120
"""  # noqa: E501


def payloads() -> list[Payload]:
    return [_payload(line) for line in LINES.strip().splitlines()]


def _payload(line: str) -> Payload:
    head, stems, *rules = (part.strip() for part in line.split(";"))
    form, style, section, budget, bpm, energy = head.split()
    made = [_stem(word) for word in stems.split()]
    kinds = {stem["id"]: stem["class"] for stem in made}
    return payload_from(
        {
            "target_format": form, "max_objects": int(budget), "style": style, "section": section.rstrip("2"),
            "global": {"bpm": float(bpm), "energy": float(energy)}, "stems": made,
            "rules": [_rule(rule.split(), kinds) for rule in rules],
        }
    )  # fmt: skip


def _stem(word: str) -> dict[str, object]:
    name, kind, _, level = re.fullmatch(r"(\w+)=(\w+)(@(.*))?", word).groups()  # type: ignore[union-attr]
    usual, transient, leadness, (low, mid, high) = CHARACTER[LONG[kind]]
    bands = {"low": low, "mid": mid, "high": high}
    numbers = {"lufs": float(level or usual), "transient": transient, "leadness": leadness}
    return {"id": name, "class": LONG[kind], **numbers, "band_energy": bands}


def _rule(words: list[str], kinds: dict[str, str]) -> dict[str, object]:
    kind, *rest = words

    def group(word: str) -> str:
        """A class: by its short name, or that of a stem so called (people mix them up)."""
        return LONG.get(word) or kinds.get(word) or kinds.get(word.rstrip("c"), "back_vocal")

    if kind == "anchor":
        who, az, el, dist = rest
        return {"type": "anchor", "id": who, "az_deg": float(az), "el_deg": float(el), "dist_m": float(dist)}
    if kind == "mono":
        return {"type": "mono_low_end", "hz_below": float(rest[0])}
    if kind == "sep":
        a, b = (word if word in kinds else LONG[word] for word in rest[:2])
        return {"type": "avoid_masking", "a": a, "b": b, "min_sep_deg": float(rest[2])}
    if kind == "width":
        low, _, high = rest[1].partition("-")
        sizes = {"min": float(low), "max": float(high)} if high else {"width": float(low)}
        return {"type": "width_target", "class": group(rest[0]), **sizes}
    where = {} if rest[0] == "all" else {"class": group(rest[0])}
    if kind == "move":
        return {"type": "motion_limit", **where, "max_deg": float(rest[1])}
    if kind == "el":
        return {"type": "elevation_range", **where, "min_deg": float(rest[1]), "max_deg": float(rest[2])}
    return {"type": "keep_in_bed", **where}


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    for payload in payloads():
        print(dumps(payload))
