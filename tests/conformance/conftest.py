"""The shipped suites use plain asserts; pytest tells more of a failed one when it may rewrite them."""

import pytest

pytest.register_assert_rewrite("stageline_engine.testing")
