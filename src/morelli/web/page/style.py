"""How the page looks: one style sheet over Gradio's, for light and dark, wide and narrow."""

from __future__ import annotations

from morelli.report.svg import THEME
from morelli.report.verdict import VERDICT_STYLE


def _variables(place: int) -> str:
    return "".join(f"{values[0]}:{values[place]};" for values in THEME.values())


_BLUE, _ORANGE, _RED = ("#0072b2", "#56b4e9"), ("#b36b00", "#e69f00"), ("#c04f00", "#ff8a47")

STYLE = f"""
:root{{{_variables(1)}--link:{_BLUE[0]}}}
.dark{{{_variables(2)}--link:{_BLUE[1]}}}
{VERDICT_STYLE}
body:not(.dark) .verdict{{--yes:{_BLUE[0]};--maybe:{_ORANGE[0]};--no:{_RED[0]};--rest:#8a93a0}}
.dark .verdict{{--yes:{_BLUE[1]};--maybe:{_ORANGE[1]};--no:{_RED[1]};--rest:#8f99a8}}
.gradio-container{{max-width:68rem!important;margin:0 auto!important}}
.gradio-container .head h1{{font-size:1.5rem;margin:0;color:var(--ink)}}
.gradio-container .head p{{margin:.1rem 0 0;color:var(--muted)}}
.gradio-container .head .leave{{color:var(--link);text-decoration:underline}}
.shown{{color:var(--ink);line-height:1.5}}
.shown summary{{cursor:pointer;color:var(--link);padding:.2rem 0}}
.shown summary:focus-visible,.shown a:focus-visible,.shown [tabindex]:focus-visible,.shown input:focus-visible,
button:focus-visible,input:focus-visible,textarea:focus-visible{{outline:3px solid var(--link)!important;
outline-offset:2px}}
.shown a{{color:var(--link)}}
.shown ul{{margin:.2rem 0 .2rem 1.2rem;list-style:disc}}
.shown table td.n,.shown table th.n{{text-align:right;font-variant-numeric:tabular-nums}}
.shown .scroll{{overflow-x:auto;max-width:calc(100vw - 3rem)}}
.shown table,.shown table thead,.shown table tbody,.shown table tr,.shown table th,.shown table td{{
border-left:0!important;border-right:0!important;border-top:0!important;background:none!important}}
.gradio-container .shown table{{border:0!important}}
.gradio-container .shown .near,.gradio-container .shown .legend{{list-style:none;padding:0;margin:.3rem 0}}
.gradio-container .shown .near li,.gradio-container .shown .legend li{{list-style:none;margin:0}}
.gradio-container .shown summary{{color:var(--link)}}
.shown table.rank tr,.shown table.rank td,.shown table.rank th{{border-bottom:0!important}}
.shown p a{{padding:0!important;margin:0!important}}
.shown table.plain{{border-collapse:collapse;font-size:.95rem}}
.shown table.plain th,.shown table.plain td{{padding:.3rem .7rem;text-align:left;border-bottom:1px solid var(--grid)}}
.shown table.plain td.n,.shown table.plain th.n{{text-align:right}}
.gradio-container .shown caption{{text-align:left;color:var(--muted);font-size:.9rem;padding:.2rem 0}}
.shown .problem{{border-left:.35rem solid {_RED[0]};padding:.5rem .9rem;margin:.6rem 0;background:var(--grid);
border-radius:.2rem;overflow-wrap:anywhere}}
.shown .problem p{{margin:.1rem 0}}
.shown .wait progress{{appearance:none;width:100%;height:.7rem;border:0;border-radius:.4rem;overflow:hidden;
background:var(--grid)}}
.shown .wait progress::-webkit-progress-bar{{background:var(--grid)}}
.shown .wait progress::-webkit-progress-value{{background:var(--link)}}
.shown .wait progress::-moz-progress-bar{{background:var(--link)}}
.shown .wait progress:not([value])::-webkit-progress-bar{{background:linear-gradient(90deg,var(--grid) 0 30%,var(--link)
45% 55%,var(--grid) 70%);background-size:200% 100%;animation:wait 1.6s linear infinite}}
@keyframes wait{{from{{background-position:200% 0}}to{{background-position:0 0}}}}
.gradio-container .shown .hint{{color:var(--muted)}}
.shown .pair{{display:flex;flex-wrap:wrap;gap:1rem;margin:.8rem 0}}
.shown .pair figure{{margin:0;flex:1 1 12rem;min-width:0}}
.shown .pair img{{max-width:100%;max-height:18rem;border-radius:.5rem}}
.shown .pair figcaption{{font-size:.9rem;color:var(--muted);overflow-wrap:anywhere}}
.shown .scale{{position:relative;height:1.2rem;border-radius:.3rem;margin:.6rem 0 1.6rem;
background:linear-gradient(90deg,var(--no) 0 25%,var(--grid) 25% 75%,var(--yes) 75%)}}
.shown .scale i{{position:absolute;top:-.25rem;width:.35rem;height:1.7rem;background:var(--ink);border-radius:.2rem;
transform:translateX(-50%);outline:2px solid var(--body-background-fill)}}
.shown .scale span{{position:absolute;top:1.35rem;font-size:.8rem;color:var(--muted)}}
.shown .map{{position:relative;max-width:46rem;aspect-ratio:4/3;margin:1rem}}
.shown .map .dot{{position:absolute;width:1rem;height:1rem;margin:-.5rem;border-radius:.3rem}}
.shown .map .dot svg{{width:100%;height:100%;display:block}}
.shown .map .dot:focus{{z-index:1}}
.shown .map .dot:hover{{z-index:2}}
.shown .map .tip{{display:none;position:absolute;left:1.2rem;top:1.2rem;width:max-content;max-width:11rem;
padding:.3rem .5rem;border:1px solid var(--grid);border-radius:.3rem;background:var(--body-background-fill);
color:var(--ink);font-size:.85rem;line-height:1.3;overflow-wrap:anywhere;pointer-events:none}}
.shown .map .left .tip{{left:auto;right:1.2rem}}
.shown .map .up .tip{{top:auto;bottom:1.2rem}}
.shown .map .dot:hover .tip,.shown .map .dot:focus .tip{{display:block}}
.shown .map .tip img{{display:block;max-width:6rem;max-height:6rem;margin-bottom:.2rem}}
.shown .map .tip b{{display:block}}
.shown .legend{{list-style:none;margin:.5rem 0;padding:0;columns:13rem}}
.shown .legend svg{{width:1rem;height:1rem;display:inline;vertical-align:-.15rem;margin-right:.4rem}}
.shown iframe{{width:100%;height:80vh;border:1px solid var(--grid);border-radius:.5rem}}
.shown .slide{{position:relative;max-width:40rem;--at:50%}}
.shown .slide img{{width:100%;display:block}}
.shown .slide .above{{position:absolute;inset:0 0 auto 0;clip-path:inset(0 calc(100% - var(--at)) 0 0)}}
.shown .slide .line{{position:absolute;top:0;bottom:2.2rem;left:var(--at);width:2px;background:#fff;
box-shadow:0 0 0 1px #000}}
.shown .slide input{{width:100%;height:1.6rem;margin:.3rem 0;accent-color:var(--link)}}
@media(max-width:40rem){{.gradio-container .head h1{{font-size:1.25rem}}
.gradio-container{{padding:0!important;max-width:100vw!important;overflow-x:clip!important}}
.gradio-container .main{{padding:.8rem!important;max-width:100vw}}
.gradio-container .tabs,.gradio-container main{{max-width:calc(100vw - 1.6rem);min-width:0}}
.gradio-container .tab-wrapper,.gradio-container .tab-container{{max-width:calc(100vw - 1.6rem);height:auto!important;
overflow:visible}}
.gradio-container .tab-container:not(.visually-hidden){{flex-wrap:wrap}}
.gradio-container .tab-container button{{padding:.4rem .6rem!important;height:auto!important}}}}
@media(prefers-reduced-motion:reduce){{*{{animation-duration:.01s!important;transition:none!important}}}}
"""
