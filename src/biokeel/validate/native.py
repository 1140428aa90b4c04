"""What Great Expectations itself says of a suite: the only place that imports it, and only when asked.

Our reader (`biokeel.validate.lint`) knows what can be compiled; this asks the real thing whether the suite is native,
and is the only check of the arguments of window expectations. Importing Great Expectations takes seconds, so the
workers never do. It is asked for classes only: no data context is made, and its telemetry is off.
"""

from __future__ import annotations

import json
from typing import Any

from biokeel.validate.findings import Finding
from biokeel.validate.lint import place_of


def native_findings(text: str) -> list[Finding]:
    """What Great Expectations refuses of the suite in the JSON `text`, which `read_suite` can read."""
    return [
        Finding(place_of(expectation, number), f"Great Expectations does not take it: {fault}.")
        for number, expectation in enumerate(json.loads(text)["expectations"], start=1)
        if (fault := _fault(expectation))
    ]


def _fault(expectation: dict[str, Any]) -> str:
    from great_expectations.compatibility.pydantic import ValidationError
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    import biokeel.validate.registered  # noqa: F401 - ours are among its own from here on

    try:
        ExpectationConfiguration(**expectation).to_domain_obj()
    except ValidationError as error:
        return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    except GreatExpectationsError as error:
        return str(error).strip().rstrip(".") or type(error).__name__
    except (TypeError, ValueError, AttributeError, LookupError, RecursionError) as error:  # of its validators
        return f"{type(error).__name__}: {str(error).strip().rstrip('.')}"
    return ""
