"""The seeded fleets that are measured, made once into ``.cache/bench`` and named by what is in them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from journeymesh.fleets.orders import Order
from journeymesh.fleets.spec import FaultRates, FleetSpec
from journeymesh.fleets.writers import Format, write_fleet

DAYS = 28
FIXES_PER_VEHICLE = 58_000  # about what 28 days of driving at 1 Hz give; results say how many there were
READY = ".ready-2"
"""Its number goes up when the writer writes the same fleet differently."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where inputs are made and found."""

    root: Path

    def fleet(self, fixes: int, fmt: Format = "parquet", order: Order = "clustered") -> Path:
        """The folder of a fleet with about so many fixes: its files, policies, and ``small.npz`` for slow peers."""
        folder = self.root / f"{fmt}-{order}-{fixes}"
        if (folder / READY).exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        # pymongoarrow refuses a whole collection for one date that is a text: such dates are left out for everyone.
        faults = FaultRates(clock_unparseable=0.0)
        spec = FleetSpec(seed=7, vehicles=max(2, fixes // FIXES_PER_VEHICLE), days=DAYS, faults=faults)
        write_fleet(spec, folder, format=fmt, order=order)
        (folder / READY).touch()
        return folder

    def small(self, fixes: int) -> Path:
        """A folder with ``small.npz``: plain columns of so many fixes, without missing positions, for slow peers."""
        folder = self.root / f"small-{fixes}"
        if (folder / READY).exists():
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        source = pq.ParquetFile(self.fleet(2_000_000) / "fixes.parquet")
        table = pa.Table.from_batches([next(source.iter_batches(batch_size=fixes))])
        table = table.filter(pc.and_(pc.is_valid(table["lat_deg"]), pc.is_valid(table["lon_deg"])))
        vehicle = table["vehicle"].combine_chunks()
        codes = vehicle.chunk(0).indices if isinstance(vehicle, pa.ChunkedArray) else vehicle.indices
        np.savez(
            folder / "small.npz",
            vehicle=codes.to_numpy(),
            fixed_at_us=table["fixed_at"].cast(pa.int64()).to_numpy(),
            lat_deg=table["lat_deg"].to_numpy(),
            lon_deg=table["lon_deg"].to_numpy(),
        )
        (folder / READY).touch()
        return folder

    def forget(self, folder: Path) -> None:
        """Delete a fleet that is large and will not be needed again."""
        shutil.rmtree(folder, ignore_errors=True)
