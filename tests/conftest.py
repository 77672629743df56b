"""What all tests share."""

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

# The history of whoever runs the tests is theirs.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="callmood-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

# A machine that is busy with something else is no reason to fail.
settings.register_profile("callmood", deadline=None)
settings.load_profile("callmood")
