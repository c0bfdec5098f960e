"""Draw the running tree of an environment and the gate of one service, from a cluster that runs it, in Chromium.

    python docs/make_delivery_picture.py [--env dev] [--service journeyapi] [--from FOLDER] [--save FOLDER]

KUBECONFIG names the cluster; it is only read, by three listings of kubectl. ``--save`` keeps these listings as JSON and
``--from`` draws from such a folder: the same listings give the same pictures. Addresses of repository and registry are
not drawn.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any, Final

Json = Mapping[str, Any]
ASSETS: Final = Path(__file__).parent / "assets"
CHROMIUM: Final = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip
WAVE: Final = "argocd.argoproj.io/sync-wave"
TRACKING: Final = "argocd.argoproj.io/tracking-id"
TRACK: Final = "journeymesh.io/track"
NAME: Final = "app.kubernetes.io/name"
WAVES_OF_APPLICATIONS: Final = {
    0: "secrets",
    1: "identity provider, database",
    2: "who asks",
    3: "journeys",
    4: "the way in, workloads",
}
WAVES_OF_A_GATE: Final = {
    -2: "what pods need",
    -1: "tables, only wider",
    0: "the candidate, no route",
    1: "the gate",
    2: "the stable one",
    3: "what users get",
}
STYLE: Final = """
* { box-sizing: border-box; margin: 0 }
body { font: 14px/1.35 "DejaVu Sans", sans-serif; color: #1d2b2a; background: #fff; padding: 26px; width: 1280px }
h1 { font-size: 19px; margin-bottom: 3px } .lead { color: #566664; margin-bottom: 20px }
.card { border: 1.5px solid #b9cbc8; border-radius: 9px; padding: 9px 12px; background: #fff }
.name { font-weight: bold; white-space: nowrap } .small { font-size: 12px; color: #566664 }
.state { display: inline-block; font-size: 11px; border-radius: 9px; padding: 1px 8px; margin: 3px 3px 0 0 }
.good { background: #d9f2e3; color: #0d5a31 } .fair { background: #fdeecb; color: #7a4d00 }
.poor { background: #fbdcd9; color: #8c1d13 }
.mono { font: 11px "DejaVu Sans Mono", monospace; color: #566664 }
.part { display: flex; gap: 7px; align-items: center; font-size: 12px; margin-top: 5px; white-space: nowrap }
.dot { width: 10px; height: 10px; border-radius: 50%; flex: none } .dot.good { background: #27a35d }
.dot.fair { background: #e0a021 } .dot.poor { background: #cc3a2c }
.job { width: 10px; height: 10px; border-radius: 2px; flex: none } .job.good { background: #27a35d }
.job.fair { background: #e0a021 } .job.poor { background: #cc3a2c }
.tree { display: grid; grid-template-columns: 232px 34px minmax(0, 1fr); align-items: stretch }
.root { background: #eef6f5; border-color: #2b8a80; align-self: center }
.trunk { position: relative } .trunk::before { content: ""; position: absolute; left: 0; top: 50%; width: 17px;
  border-top: 2px solid #2b8a80 }
.trunk::after { content: ""; position: absolute; left: 16px; top: 42px; bottom: 42px; border-left: 2px solid #2b8a80 }
.single::after { display: none } .single::before { width: 46px }
.wave { display: grid; grid-template-columns: 118px minmax(0, 1fr); gap: 12px; padding: 7px 0 7px 16px;
  position: relative }
.branches > .wave::before { content: ""; position: absolute; left: -18px; top: 50%; width: 30px;
  border-top: 2px solid #2b8a80 }
.label { align-self: center; background: #fff; z-index: 1; padding-left: 6px } .number { font-weight: bold }
.apps { display: flex; gap: 12px } .apps .card { flex: 1; display: flex; gap: 16px; align-items: flex-start }
.apps .told { width: 172px; flex: none } .runs { display: flex; flex-wrap: wrap; gap: 0 22px }
.legend { margin-top: 16px; display: flex; gap: 22px; font-size: 12px; color: #566664 }
.legend span { display: flex; align-items: center; gap: 7px }
.gate { display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: 0 16px; position: relative }
.gate .column { border-top: 3px solid #2b8a80; padding-top: 8px; position: relative }
.gate .card { margin-top: 9px; padding: 8px 10px }
.gate .hook { border-style: dashed; background: #f4f9f8 }
.gate .candidate { border-color: #d69a2d; background: #fffaf0 }
.gate .stable { border-color: #27a35d; background: #f3fbf6 }
.gate .name { white-space: normal; font-size: 13px; overflow-wrap: anywhere }
.bar { position: absolute; left: calc(66.667% + 1px); top: -14px; bottom: -12px; border-left: 3px dashed #cc3a2c }
.stop { margin: 20px 0 0; width: calc(66.667% + 4px); text-align: right; color: #8c1d13; font-size: 13px }
.way { display: flex; align-items: center; margin-top: 20px } .way .card { min-width: 168px }
.arrow { flex: 1; max-width: 92px; height: 2px; background: #2b8a80; margin: 0 9px; position: relative }
.arrow::after { content: ""; position: absolute; right: -1px; top: -5px; border: 6px solid transparent;
  border-left: 9px solid #2b8a80; border-right: 0 }
.none { color: #7a4d00; font-size: 12px; margin: 0 0 0 34px }
"""


@dataclass(frozen=True, slots=True)
class Listings:
    """What kubectl told of one environment."""

    environment: str
    applications: Sequence[Json]
    pods: Sequence[Json]
    jobs: Sequence[Json]

    @classmethod
    def of_cluster(cls, environment: str) -> Listings:
        kinds = (("argocd", "applications.argoproj.io"), (environment, "pods"), (environment, "jobs"))
        return cls(environment, *(_listing(namespace, kind) for namespace, kind in kinds))

    @classmethod
    def of_folder(cls, environment: str, folder: Path) -> Listings:
        return cls(environment, *(json.loads((folder / f"{kind}.json").read_text("utf-8")) for kind in KINDS))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            (folder / f"{kind}.json").write_text(json.dumps(getattr(self, kind)), "utf-8")

    def application(self, name: str) -> Json:
        """One by its name; empty where it is not there."""
        return next((each for each in self.applications if each["metadata"]["name"] == name), {})

    def jobs_of(self, application: str) -> list[Json]:
        """In the order of their waves."""
        own = [job for job in self.jobs if _annotation(job, TRACKING).startswith(f"{application}:")]
        return sorted(own, key=lambda job: (_wave(job), job["metadata"]["name"]))

    def pods_of(self, service: str) -> dict[str, list[Json]]:
        """Pods that serve, by track."""
        found: dict[str, list[Json]] = defaultdict(list)
        for pod in sorted(self.pods, key=lambda pod: str(pod["metadata"]["name"])):
            labels = pod["metadata"].get("labels", {})
            if labels.get(NAME) == service and TRACK in labels and "deletionTimestamp" not in pod["metadata"]:
                found[labels[TRACK]].append(pod)
        return found


KINDS: Final = ("applications", "pods", "jobs")


def _listing(namespace: str, kind: str) -> list[Json]:
    argv = ["kubectl", "--namespace", namespace, "get", kind, "--output", "json"]
    items: list[Json] = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)["items"]
    return items


def _annotation(thing: Json, name: str) -> str:
    return str(thing["metadata"].get("annotations", {}).get(name, ""))


def _wave(thing: Json) -> int:
    return int(_annotation(thing, WAVE) or 0)


def _state(words: str) -> str:
    tone = {"Synced": "good", "Healthy": "good", "OutOfSync": "fair", "Progressing": "fair"}.get(words, "poor")
    return f'<span class="state {tone}">{escape(words)}</span>'


def _told(application: Json) -> str:
    status = application.get("status", {})
    sync, health = status.get("sync", {}), status.get("health", {})
    return (
        f'<div class="name">{escape(application["metadata"]["name"])}</div>'
        f"{_state(sync.get('status', 'Unknown'))}{_state(health.get('status', 'Missing'))}"
        f'<div class="mono">{escape(sync.get("revision", "")[:12])}</div>'
    )


def _ready(pod: Json) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))


def _pods(tracks: Mapping[str, Sequence[Json]]) -> Iterator[str]:
    for track in sorted(tracks, reverse=True):
        ready = sum(map(_ready, tracks[track]))
        tone = "good" if ready == len(tracks[track]) else "fair"
        count = "1 pod" if len(tracks[track]) == 1 else f"{len(tracks[track])} pods"
        yield f'<div class="part"><i class="dot {tone}"></i>{escape(track)} · {count}, {ready} ready</div>'


def _seconds(job: Json) -> str:
    status = job.get("status", {})
    if not status.get("completionTime"):
        return ""
    took = datetime.fromisoformat(status["completionTime"]) - datetime.fromisoformat(status["startTime"])
    return f" in {took.total_seconds():.0f} s"


def _outcome(job: Json) -> tuple[str, str]:
    """Its colour and what it came to."""
    status = job.get("status", {})
    if status.get("succeeded"):
        verb = "passed" if "e2e" in job["metadata"]["name"] else "done"
        return "good", f"{verb}{_seconds(job)}"
    return ("poor", "failed") if status.get("failed") else ("fair", "running")


def _jobs(jobs: Sequence[Json], service: str) -> Iterator[str]:
    for job in jobs:
        tone, outcome = _outcome(job)
        name = str(job["metadata"]["name"]).removeprefix(f"{service}-")
        yield f'<div class="part"><i class="job {tone}"></i>{escape(name)} · {outcome}</div>'


def _page(title: str, lead: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{STYLE}</style>'
        f'<body><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>{body}</body></html>'
    )


def tree_page(seen: Listings) -> str:
    """Both roots, the Applications by wave, and what each of them runs."""
    environment, suffix = seen.environment, f"-app-{seen.environment}"
    platform, root = seen.application("root-platform-app"), seen.application(f"root-appbundle-app-{seen.environment}")
    waves: dict[int, list[Json]] = defaultdict(list)
    for each in sorted(seen.applications, key=lambda each: str(each["metadata"]["name"])):
        name = each["metadata"]["name"]
        if name.endswith(suffix) and not name.startswith("root-"):
            waves[_wave(each)].append(each)
    rows = []
    for wave, applications in sorted(waves.items()):
        cards = []
        for each in applications:
            service = str(each["metadata"]["name"]).removesuffix(suffix)
            runs = "".join(_pods(seen.pods_of(service))) or '<div class="part">encrypted files become Secrets</div>'
            jobs = "".join(_jobs(seen.jobs_of(each["metadata"]["name"]), service))
            told = f'<div class="told">{_told(each)}</div>'
            cards.append(f'<div class="card">{told}<div class="runs"><div>{runs}</div><div>{jobs}</div></div></div>')
        label = f'<div class="label"><div class="number">wave {wave}</div><div class="small">'
        label += f"{escape(WAVES_OF_APPLICATIONS.get(wave, ''))}</div></div>"
        rows.append(f'<div class="wave">{label}<div class="apps">{"".join(cards)}</div></div>')
    count = len(platform.get("status", {}).get("resources", []))
    kinds = "custom resources, classes, admission policies, namespaces with their fences, the ledger of approved images"
    what = (
        f'<div class="wave"><div class="label number">first</div><div class="card">{count} objects: {kinds}</div></div>'
    )
    legend = (
        '<div class="legend"><span><i class="dot good"></i>pods that serve</span>'
        '<span><i class="job good"></i>Jobs that ran inside the sync</span>'
        "<span>under each state: the commit that Argo CD compared with</span></div>"
    )
    fences = f'<div class="small">appbundle-project-{escape(environment)}</div>'
    body = (
        f'<div class="tree"><div class="card root">{_told(platform)}<div class="small">platform-project</div></div>'
        f'<div class="trunk single"></div><div>{what}</div></div>'
        f'<div class="tree"><div class="card root">{_told(root)}{fences}</div>'
        f'<div class="trunk"></div><div class="branches">{"".join(rows)}</div></div>{legend}'
    )
    return _page(f"The running tree: {environment}", "Drawn from a cluster. Waves order the first sync.", body)


def _digest(pods: Sequence[Json]) -> str:
    """The image's digest, short; not where it came from."""
    statuses = [status for pod in pods for status in pod["status"].get("containerStatuses", [])]
    digests = {status.get("imageID", "").rpartition("sha256:")[2][:12] for status in statuses}
    return "".join(f'<div class="mono">sha256:{digest}…</div>' for digest in sorted(digests - {""}))


def _gate_cards(seen: Listings, application: str, service: str) -> dict[int, list[str]]:
    """What a sync applies and runs, by wave."""
    cards: dict[int, list[str]] = defaultdict(list)
    pods = seen.pods_of(service)
    resources = seen.application(application).get("status", {}).get("resources", [])
    for each in sorted(resources, key=lambda each: (each["kind"], each["name"])):
        if each.get("hook"):
            continue
        wave = int(each.get("syncWave", 0))
        track = {0: "candidate", 2: "stable"}.get(wave, "")
        runs = each["kind"] == "Deployment"
        detail = (
            _digest(pods[track]) + "".join(_pods({track: pods[track]})).replace(f"{track} · ", "")
            if runs and track in pods
            else ""
        )
        name = each["name"]
        if each["kind"] == "ConfigMap":
            name = name.rpartition("-")[0]  # what follows is the hash of its content
        cards[wave].append(
            f'<div class="card {track}"><div class="small">{each["kind"]}</div>'
            f'<div class="name">{escape(name)}</div>{detail}</div>'
        )
    for job in seen.jobs_of(application):
        tone, outcome = _outcome(job)
        cards[_wave(job)].append(
            f'<div class="card hook"><div class="small">Job, hook</div><div class="name">'
            f'{escape(job["metadata"]["name"])}</div><div class="part"><i class="job {tone}"></i>{outcome}</div></div>'
        )
    return cards


def gate_page(seen: Listings, service: str) -> str:
    """One sync of a service, wave by wave, and the way that users take meanwhile."""
    cards = _gate_cards(seen, f"{service}-app-{seen.environment}", service)
    columns = "".join(
        f'<div class="column"><div class="number">wave {wave}</div><div class="small">'
        f"{escape(WAVES_OF_A_GATE.get(wave, ''))}</div>{''.join(cards[wave])}</div>"
        for wave in sorted(cards)
    )
    stop = "If the gate fails, the sync ends here: nothing to the right is applied, and users keep what they have."
    step = '<div class="arrow"></div>'
    way = step.join(
        f'<div class="card {tone}"><div class="small">{kind}</div><div class="name">{escape(name)}</div></div>'
        for kind, name, tone in (
            ("who asks", "users", ""),
            ("Gateway", "gatewayapi", ""),
            ("HTTPRoute, of gatewayapi", service, ""),
            ("Service", service, "stable"),
        )
    )
    body = (
        f'<div class="gate">{columns}<div class="bar"></div></div><p class="stop">{stop}</p>'
        f'<div class="way">{way}<p class="none">No route leads to {escape(service)}-candidate.</p></div>'
    )
    lead = "Dashed: Jobs that run inside the sync. Drawn from a cluster after a release."
    return _page(f"One sync of {service}, with its gate", lead, body)


def take(pages: Mapping[str, str]) -> list[Path]:
    """A PNG for each page. Raises FileNotFoundError where there is no Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise FileNotFoundError("no Chromium found: install the package chromium")
    ASSETS.mkdir(exist_ok=True)
    taken = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM))
        for name, page in pages.items():
            path = Path(folder) / f"{name}.html"
            path.write_text(page, "utf-8")
            tab = browser.new_page(
                viewport={"width": 1280, "height": 300}, color_scheme="light", device_scale_factor=1.5
            )
            tab.goto(path.as_uri())
            taken.append(ASSETS / f"{name}.png")
            tab.screenshot(path=taken[-1], full_page=True)
        browser.close()
    return taken


def main() -> int:
    """Write both pictures; 2 where something is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="dev")
    parser.add_argument("--service", default="journeyapi")
    parser.add_argument("--from", dest="folder", type=Path)
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    try:
        seen = Listings.of_folder(given.env, given.folder) if given.folder else Listings.of_cluster(given.env)
        if given.save:
            seen.save(given.save)
        pages = {"delivery-tree": tree_page(seen), "delivery-gate": gate_page(seen, given.service)}
        print(*take(pages), sep="\n")
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        print(f"{error}: {getattr(error, 'stderr', '') or 'nothing was drawn'}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
