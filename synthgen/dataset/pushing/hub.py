"""A dataset's repository on the Hub, and the Hub's refusals in one sentence each.

The token comes from where huggingface_hub looks for it (`HF_TOKEN`, or the login), and goes nowhere
else; the Hub is the one that `HF_ENDPOINT` names.
"""

import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    DatasetCard,
    HfApi,
    get_token,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage] - httpx's or httpx2's
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
    validate_repo_id,
)

from synthgen import __version__
from synthgen.dataset import layout
from synthgen.dataset.run_record import RunRecord, read_record
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError, OutputError, RunError, SynthgenError
from synthgen.foreign import excerpt, first_line

_KIND = "dataset"
_MAIN = "main"
_PATIENCE = 30.0
"""Time for which the Hub may take to say whether it has a repository [s]."""

_STAYS = "what was sent stays, and the same command sends the rest"


def check_repo(repo: str) -> None:
    """Refuse what is no id of a repository; the Hub is not asked.

    Raises:
        OutputError: if it is none.
    """
    allowed = "give OWNER/NAME of letters, digits, '-', '_' and '.', such as acme/faces"
    begins = repo.split("/", 1)[0].lower()
    if begins == "datasets" and repo.count("/") == 2:
        raise OutputError(f"REPO {excerpt(repo)!r}: leave out 'datasets/'; {allowed}")
    if begins in ("models", "spaces", "kernels") and repo.count("/") == 2:
        kind = begins.removesuffix("s")
        raise OutputError(
            f"REPO {excerpt(repo)!r} names a {kind}; a push writes datasets alone: {allowed}"
        )
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        reason = f"{first_line(error).split(':')[0]}; " if repo.count("/") == 1 else ""
        raise OutputError(f"REPO {excerpt(repo)!r} is no repository: {reason}{allowed}") from error
    if "/" not in repo:
        raise OutputError(f"REPO {excerpt(repo)!r} does not say whose it is: {allowed}")


def endpoint() -> str:
    """Return the address of the Hub."""
    return HfApi().endpoint


class Hub:
    """A repository, as one push sees it; its first answer is that of `open`."""

    def __init__(self, repo: str, revision: str | None = None, create_pr: bool = False) -> None:
        """Look for the token; the Hub is not asked.

        Args:
            repo: id of the repository.
            revision: branch, or `refs/pr/N`; None: the main one.
            create_pr: have the first commit open a pull request, which the others go on with.

        Raises:
            OutputError: if there is no token.
        """
        if get_token() is None:
            raise OutputError(
                "no token of the Hugging Face Hub is on this machine: log in by `hf auth login`, "
                "or give the token in the environment (HF_TOKEN)"
            )
        self._api = HfApi(library_name="synthgen", library_version=__version__)
        self._repo = repo
        self._revision = revision
        self._create_pr = create_pr
        self._head: str | None = None
        self._begun = False
        self.pull_request: str | None = None
        self.notes: list[str] = []

    @property
    def revision(self) -> str | None:
        """Branch or reference that commits go to; None: the main one."""
        return self._revision

    def open(self, public: bool) -> None:
        """Find the repository, or make it, and the branch.

        Args:
            public: whether everybody may see what is pushed.

        Raises:
            OutputError: if everybody sees the repository and nobody said that they may, or the Hub
                refuses or does not answer.
        """
        with self._asking():
            try:
                found = self._api.repo_info(self._repo, repo_type=_KIND, timeout=_PATIENCE)
            except GatedRepoError:
                raise  # it is there, and this token has no part in it
            except RepositoryNotFoundError:
                self._api.create_repo(self._repo, repo_type=_KIND, private=not public)
                found = self._api.repo_info(self._repo, repo_type=_KIND, timeout=_PATIENCE)
            if not found.private and not public:
                raise OutputError(
                    f"everybody may see {self._repo}; say --public to push there, make it private "
                    "in its settings on the Hub, or name another repository"
                )
            if found.private and public:
                self.notes.append(
                    f"{self._repo} was private before and stays so; its settings on the Hub "
                    "publish it"
                )
            self._head = found.sha
            if self._revision is not None:
                self._head = self._branch(self._revision)

    def files(self) -> dict[str, RepoFile]:
        """Return name → file of what the repository holds.

        Raises:
            OutputError: if the Hub refuses or does not answer; a `RunError` once commits are made.
        """
        with self._asking():
            listed = self._api.list_repo_tree(
                self._repo, recursive=True, revision=self._revision, repo_type=_KIND
            )
            return {file.path: file for file in listed if isinstance(file, RepoFile)}

    def record(self) -> RunRecord | None:
        """Return the record of the dataset that lies there; None where it cannot be read."""
        with tempfile.TemporaryDirectory(prefix="synthgen-push-") as folder:
            with self._asking():
                self._api.hf_hub_download(
                    self._repo,
                    layout.RUN,
                    repo_type=_KIND,
                    revision=self._revision,
                    local_dir=folder,
                )
            try:
                return read_record(Storage(folder))
            except DatasetError:
                return None

    def check_card(self, text: str) -> None:
        """Have the Hub judge a card's header before anything is sent.

        Raises:
            OutputError: if it refuses it, or does not answer.
        """
        card = DatasetCard(text, ignore_metadata_errors=True)
        with self._asking():
            try:
                card.validate(repo_type=_KIND)
            except ValueError as error:
                raise OutputError(
                    f"the Hub does not take the header of {layout.CARD}: {first_line(error)}"
                ) from error

    def send(self, additions: Sequence[CommitOperationAdd]) -> None:
        """Send what large files hold, but for what the Hub has already; commit nothing.

        Those that were sent let go of what they hold; small ones go with the commit.

        Raises:
            RunError: if the Hub refuses or does not answer.
        """
        self._begun = True
        with self._asking(), _without_bars():
            self._api.preupload_lfs_files(
                self._repo,
                additions,
                repo_type=_KIND,
                revision=self._revision,
                create_pr=self._create_pr,
            )

    def commit(
        self, operations: Sequence[CommitOperationAdd | CommitOperationDelete], message: str
    ) -> None:
        """Commit files that were sent, on top of what `open` or the last commit saw.

        Raises:
            RunError: if the Hub refuses or does not answer, or somebody else has committed since.
        """
        self._begun = True
        with self._asking(), _without_bars(), warnings.catch_warnings(record=True) as said:
            made = self._api.create_commit(
                self._repo,
                operations,
                commit_message=message,
                repo_type=_KIND,
                revision=self._revision,
                create_pr=self._create_pr,
                parent_commit=None if self._create_pr else self._head,
            )
        self.notes += [excerpt(warning.message) for warning in said]
        self._head = made.oid
        if made.pr_url is not None:
            self.pull_request = made.pr_url
            self._revision, self._create_pr = made.pr_revision, False

    def address(self) -> str:
        """Return where people look at it."""
        if self.pull_request:
            return self.pull_request
        at = f"/tree/{self._revision}" if self._revision not in (None, _MAIN) else ""
        return f"{self._api.endpoint}/datasets/{self._repo}{at}"

    def _branch(self, revision: str) -> str | None:
        """Return the newest commit of the branch, which is made where there is none."""
        try:
            return self._newest(revision)
        except RevisionNotFoundError:
            if revision.startswith("refs/"):
                raise
        self._api.create_branch(self._repo, branch=revision, repo_type=_KIND)
        return self._newest(revision)

    def _newest(self, revision: str) -> str | None:
        return self._api.repo_info(
            self._repo, revision=revision, repo_type=_KIND, timeout=_PATIENCE
        ).sha

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn what goes wrong with the Hub into one sentence.

        Its client raises errors of its own, of the network's package, and plain ones.
        """
        try:
            yield
        except SynthgenError:
            raise
        except Exception as error:
            reason = self._reason(error)
            if self._begun:
                raise RunError(f"{reason}; {_STAYS}") from error
            raise OutputError(reason) from error

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE is set, so that the Hub is not asked; unset it to push"
        answer = next(
            (found for found in _causes(error) if isinstance(found, HfHubHTTPError)), None
        )
        if answer is not None:
            return self._refusal(answer)
        lost = next((found for found in _causes(error) if isinstance(found, HTTPError)), None)
        if lost is not None:
            return f"the Hub ({self._api.endpoint}) does not answer: {first_line(lost)}"
        return f"the Hub's client cannot push to {self._repo}: {first_line(error)}"

    def _refusal(self, answer: HfHubHTTPError) -> str:
        status = answer.response.status_code
        said = excerpt(answer.server_message or first_line(answer))
        token = "the token in HF_TOKEN" if os.environ.get("HF_TOKEN") else "the token of the login"
        if isinstance(answer, RevisionNotFoundError):
            return f"{self._repo} has no revision {excerpt(self._revision)}"
        if status == 401 and not isinstance(answer, RepositoryNotFoundError):
            return f"the Hub does not know {token}; log in anew by `hf auth login`"
        if status == 403:
            return (
                f"the Hub does not let {token} write to {self._repo} ({said}); it needs the right "
                "to write there"
            )
        if isinstance(answer, RepositoryNotFoundError):
            return f"the Hub has no dataset {self._repo}, or {token} may not see it"
        if status == 412:
            return f"somebody else has committed to {self._repo} meanwhile"
        if status == 429:
            return f"the Hub asks for a pause ({said})"
        return f"the Hub refuses to take files of {self._repo} ({status}: {said})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep the client's own bars away from ours."""
    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()
