"""What the store's answers mean for whoever asked."""

import pytest
from botocore.exceptions import ClientError

from biokeel import s3
from biokeel.errors import LandingError, StoreRefused, StoreUnavailable


@pytest.mark.parametrize(
    ("status", "code", "meant"),
    [
        (400, "InvalidBucketName", StoreRefused),
        (400, "InvalidArgument", StoreRefused),
        (400, "RequestTimeout", StoreUnavailable),
        (400, "IncompleteBody", StoreUnavailable),
        (400, "", StoreUnavailable),
        (400, "400", StoreUnavailable),
        (403, "AccessDenied", StoreRefused),
        (501, "NotImplemented", StoreRefused),
        (500, "InternalError", StoreUnavailable),
        (503, "SlowDown", StoreUnavailable),
        (404, "NoSuchKey", LandingError),
    ],
)
def test_an_answer_is_told_with_its_reason_and_only_what_can_pass_is_tried_again(status, code, meant):
    error = ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")
    with pytest.raises(LandingError) as caught, s3.mapped("lake", "state/one"):
        raise error
    assert type(caught.value) is meant
    assert f"{status} ({code or 'without a reason'}) for state/one in bucket lake" in str(caught.value)
