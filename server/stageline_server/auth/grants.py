"""What one call may do, for as long as it lives."""

from collections.abc import Callable
from contextvars import ContextVar

from stageline_engine.model.access import ALL_NAMESPACES, AccessToken, Scope
from stageline_server.errors import Refusal, RefusedError


class Grant:
    """The right by which a call was let in. It may end while the call lives: the token expires, or is taken back."""

    def __init__(self, token: AccessToken | None = None) -> None:
        """Takes the token; None on a server that asks nobody, where everything is allowed."""
        self.token = token
        self.ended = False
        self._callbacks: list[Callable[[], object]] = []

    def check_namespace(self, namespace: str) -> None:
        """Makes sure that the call may be about a namespace.

        Raises:
            RefusedError: Its token is bound to another one. PERMISSION_DENIED.
        """
        token = self.token
        if token is None or token.reaches(namespace):
            return
        message = f"The token is bound to namespace {token.namespace!r} and the request names {namespace!r}."
        raise denied(message, namespace, "namespace")

    def check_workflow(self, namespace: str, workflow_name: str) -> None:
        """Makes sure that a worker may serve a workflow. Tokens of another scope are not bound to workflows.

        Raises:
            RefusedError: Its token names others. PERMISSION_DENIED.
        """
        token = self.token
        if token is None or Scope.WORKER not in token.scopes or token.may_serve(workflow_name):
            return
        allowed = ", ".join(token.workflow_names)
        message = f"The token allows to serve {allowed}, not {workflow_name[:128]!r}."
        raise denied(message, namespace, "workflow")

    @property
    def is_unbound(self) -> bool:
        """Whether it is about the whole deployment: that of an operator, or of a server that asks nobody."""
        return self.token is None or self.token.namespace == ALL_NAMESPACES

    def on_end(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has a function called when the right ends; at once where it has ended.

        Returns:
            What ends the subscription.
        """
        if self.ended:
            callback()
            return lambda: None
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback) if callback in self._callbacks else None

    def end(self) -> None:
        """Ends the right; only the first call has an effect."""
        callbacks, self._callbacks = self._callbacks, []
        self.ended = True
        for callback in callbacks:
            callback()


OPEN = Grant()
"""On a server that asks nobody."""

_GRANT: ContextVar[Grant] = ContextVar("grant", default=OPEN)


def current_grant() -> Grant:
    """Returns the right of the call that is being dealt with."""
    return _GRANT.get()


def enter(grant: Grant) -> None:
    """Makes a right that of the task that deals with the call, and of those that it starts."""
    _GRANT.set(grant)


def denied(message: str, namespace: str, permission: str) -> RefusedError:
    """The error of a call that its token does not allow.

    Args:
        message: For people.
        namespace: What the request is about.
        permission: What is missing: a scope in lower case, ``namespace``, ``workflow`` or ``lease``.
    """
    facts = {"namespace": namespace, "permission": permission}
    return RefusedError(Refusal("PERMISSION_DENIED", message, facts))


def unauthenticated(message: str) -> RefusedError:
    """The error of a call without a token that counts."""
    return RefusedError(Refusal("UNAUTHENTICATED", message))


ENDED = "The token was revoked or has expired. Get a new one."
"""What a stream is told that outlived its token."""
