"""The style sheet of reports, and the colors that their figures share."""

from __future__ import annotations

from typing import Final

INK: Final = "#1b2430"
MUTED: Final = "#66717f"
LINE: Final = "#dfe4ea"
ACCENT: Final = "#2457c5"
UP: Final = "#0b7a53"
DOWN: Final = "#b3261e"
SOFT: Final = "#9aa7b5"

STYLE: Final = f"""
*{{box-sizing:border-box}}
body{{margin:0;background:#f6f7f9;color:{INK};
 font:16px/1.55 Inter,system-ui,-apple-system,"Segoe UI",Roboto,Helvetica,Arial,
 sans-serif;
 font-variant-numeric:tabular-nums}}
main{{max-width:1120px;margin:0 auto;padding:40px 28px 64px}}
header{{margin-bottom:20px}}
.kicker{{margin:0;color:{MUTED};font-size:13px;letter-spacing:.04em;text-transform:uppercase}}
h1{{margin:4px 0 6px;font-size:34px;line-height:1.15;letter-spacing:-.02em}}
h1 span{{color:{MUTED};font-weight:500}}
h2{{margin:0 0 6px;font-size:22px;letter-spacing:-.01em}}
.sub{{margin:0;color:{MUTED}}}
.banner{{margin:10px 0;padding:12px 16px;background:#fff4d6;border:1px solid #ecc94b;
 border-radius:8px}}
.verdict{{margin:22px 0;font-size:22px;line-height:1.4;letter-spacing:-.005em}}
.cards{{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:12px;
 padding:0;border:0;background:none;margin-bottom:0}}
.card{{background:#fff;border:1px solid {LINE};border-radius:10px;padding:14px 16px}}
.card p{{margin:0;color:{MUTED};font-size:14px}}
.card strong{{display:block;font-size:27px;line-height:1.3;letter-spacing:-.02em}}
.card small{{color:{MUTED};font-size:13px}}
.note{{margin:8px 0 0;color:{MUTED};font-size:14px}}
section{{margin-top:26px;background:#fff;border:1px solid {LINE};border-radius:10px;
 padding:22px 24px}}
section>p{{margin:0 0 14px;color:{MUTED};max-width:96ch}}
.scroll{{overflow-x:auto}}
table{{border-collapse:collapse;width:100%;font-size:14px}}
th,td{{padding:8px 8px;border-bottom:1px solid {LINE};text-align:right;
 white-space:nowrap}}
th{{color:{MUTED};font-weight:500;white-space:normal;vertical-align:bottom}}
th:first-child,td:first-child{{text-align:left;padding-left:0}}
tr:last-child td{{border-bottom:0}}
.facts td{{text-align:left;white-space:normal}}
.facts td:first-child{{color:{MUTED};white-space:nowrap;width:190px;vertical-align:top}}
.up{{color:{UP}}} .down{{color:{DOWN}}}
code{{font-size:.92em}}
footer{{margin-top:28px;color:{MUTED};font-size:14px;max-width:92ch}}
@media print{{body{{background:#fff}}section,.card{{break-inside:avoid}}}}
"""
