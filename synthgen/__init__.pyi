from cluster.driver import generate as generate
from pipelines.fineface import FineFaceIPAdapterPipeline as FineFaceIPAdapterPipeline
from pipelines.fineface import FineFacePipeline as FineFacePipeline
from pipelines.libreface import LibreFaceVerifier as LibreFaceVerifier
from samplers.plan import build_plan as plan
from samplers.priors import load_prior as load_prior
from synthgen.action_units import AUS as AUS
from synthgen.action_units import au_vector as au_vector
from synthgen.config import RunConfig as RunConfig
from synthgen.config import dump_config as dump_config
from synthgen.config import load_config as load_config
from synthgen.config import parse_config as parse_config
from synthgen.dataset import inspect_dataset as inspect
from synthgen.dataset.tables import to_pandas as to_pandas
from synthgen.errors import SynthgenError as SynthgenError
from synthgen.report.flame_bank import make_flame_bank as make_flame_bank
from synthgen.report.measuring import measure as measure
from synthgen.report.pictures import write_preview as preview
from synthgen.report.reproduction import reproduce as reproduce
from synthgen.report.status import read_status as status

__all__ = [
    "AUS",
    "FineFaceIPAdapterPipeline",
    "FineFacePipeline",
    "LibreFaceVerifier",
    "RunConfig",
    "SynthgenError",
    "au_vector",
    "dump_config",
    "generate",
    "inspect",
    "load_config",
    "load_prior",
    "make_flame_bank",
    "measure",
    "parse_config",
    "plan",
    "preview",
    "reproduce",
    "status",
    "to_pandas",
]

__version__: str
