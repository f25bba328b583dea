"""Where a sweep's trials are kept: an SQLite file, a database or a journal file; each of its errors is one line."""

import re
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from common.files import write_text
from experiments.processes import run_lock
from experiments.sweep.recipe import Recipe
from training.configs import config_differences

SETTLE = 1.0  # seconds in which processes that begin a sweep at once see each other
LOCK_WAIT = 20.0  # seconds that another process may hold an SQLite file
TRIES = 10  # where several processes make the same store
SEARCH, SETTINGS, IDENTITY = "search", "settings", "identity"  # user attributes of a study


class StoreUnavailable(ValueError):
    """The store is locked, cannot be reached, or is no store."""


class Store:
    """A sweep's store.

    Args:
        recipe: the sweep.
        folder: of the sweep, which holds the store if the recipe names none.

    Raises:
        StoreUnavailable: it cannot be opened.
    """

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        self.spec = recipe.storage or f"sqlite:///{(folder / 'study.db').resolve()}"
        if recipe.storage is None:
            folder.mkdir(parents=True, exist_ok=True)
        self.storage: BaseStorage | None = None
        with self.errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a journal is experimental to Optuna
            self.storage = self._open()

    @property
    def name(self) -> str:
        """The store's name, without a password."""
        if "://" not in self.spec:
            return self.spec
        try:
            return make_url(self.spec).render_as_string(hide_password=True)
        except SQLAlchemyError:
            return "of this sweep"

    def check(self, attribute: str, now: Mapping[str, Any]) -> None:
        """Compares what a study keeps of its sweep with what is asked for now; a new sweep has nothing to compare.

        Raises:
            ValueError: trials of the two could not be compared; the message lists the differences.
        """
        with self.errors():
            if self.recipe.name not in optuna.get_all_study_names(self.storage):
                return
            study = optuna.load_study(study_name=self.recipe.name, storage=self.storage)
            kept = study.user_attrs.get(attribute)
        if kept is not None and (differences := config_differences(kept, now)):
            raise ValueError(
                f"the sweep {self.recipe.name!r} in {self.name} was begun with other settings: "
                f"{', '.join(differences)}; give this one a name: of its own, or remove the old one"
            )

    def study(self, settings: Mapping[str, Any]) -> Study:
        """The sweep's study, made if it is not there.

        Raises:
            ValueError: another sweep of this name is there, or its folder holds the runs of one in another store.
        """
        search = self.recipe.search
        self.check(SEARCH, search)
        self.check(SETTINGS, settings)
        with self.errors():
            study = optuna.create_study(
                storage=self.storage,
                study_name=self.recipe.name,
                directions=list(self.recipe.objective.values()),
                load_if_exists=True,
                sampler=self.recipe.sampler_for(0),
                pruner=self.recipe.make_pruner(),
            )
            if IDENTITY not in study.user_attrs:
                kept = {SEARCH: search, SETTINGS: dict(settings), IDENTITY: uuid.uuid4().hex}
                for key, value in kept.items():
                    study.set_user_attr(key, value)
                time.sleep(SETTLE)  # of several processes that begin at once, the last one's holds
            self._mark_folder(study.user_attrs[IDENTITY])
        return study

    def _mark_folder(self, identity: str) -> None:
        """Writes into the folder whose runs it holds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        mark = self.folder / "study"
        with run_lock(mark, wait=True):
            if not mark.exists():
                write_text(mark, identity)
        if mark.read_text() != identity:
            raise ValueError(
                f"{self.folder} holds the runs of a sweep in another store than {self.name}: "
                "give this one a name: of its own, or remove the folder"
            )

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns an error of the store into one line."""
        try:
            yield
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            if self.storage is not None:
                self.storage.remove_session()  # else a broken connection is used again
            raise StoreUnavailable(f"the store {self.name} {_why(error)}") from error
        except ImportError as error:
            module = getattr(error.__cause__, "name", None) or "of its database"
            raise StoreUnavailable(
                f"the store {self.name} needs the Python module {module}; PostgreSQL's is in 'psycopg[binary]'"
            ) from error
        except OSError as error:
            if "://" in self.spec:  # a database says so otherwise: this is a file of the sweep's
                raise
            raise StoreUnavailable(
                f"the store {self.name} cannot be opened: {error.strerror or error}"
            ) from error

    def _open(self) -> BaseStorage:
        if "://" not in self.spec:
            return self._journal()
        wait = {"connect_args": {"timeout": LOCK_WAIT}} if self.spec.startswith("sqlite") else {}
        for _ in range(TRIES):
            try:
                return RDBStorage(self.spec, engine_kwargs=dict(wait))
            except SQLAlchemyError as error:  # another process is making the same tables
                if not any(text in str(error) for text in ("already exists", "UNIQUE", "duplicate key")):
                    raise
                time.sleep(0.5)
        return RDBStorage(self.spec, engine_kwargs=wait)

    def _journal(self) -> JournalStorage:
        # Absolute: the lock is a link to it, and Optuna would wait for ever for one left behind that leads nowhere.
        path = Path(self.spec).resolve()
        if not path.parent.is_dir():
            raise StoreUnavailable(
                f"the store {self.spec} cannot be opened: there is no folder {path.parent}"
            )
        try:
            if path.exists() and path.stat().st_size and not path.read_bytes().startswith(b'{"op_code"'):
                raise ValueError("its first line is no record")
            return JournalStorage(JournalFileBackend(str(path)))
        except (ValueError, KeyError, TypeError) as error:
            raise StoreUnavailable(
                f"the store {self.spec} is no journal of Optuna's, or is damaged"
            ) from error


def _why(error: Exception) -> str:
    """A database's error, in words that help."""
    message = re.split(r"\[SQL:|\(Background", " ".join(str(error.__cause__ or error).split()))[0].strip()
    if "locked" in message:
        return "is locked by another process: end what holds it, or try again later"
    if "unable to open" in message:
        return "cannot be opened: its folder must be there, and be writable"
    if "not a database" in message or "malformed" in message:
        return "is no SQLite database"
    return f"cannot be reached: {message}"
