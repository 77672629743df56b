"""Why a port could not be opened, for people. Pure."""

import errno


def why_not(table: str, host: str, port: int, error: OSError) -> str:
    """`table` of the settings has `host` and `port`."""
    where = f"port {port} on {host}"
    match error.errno:
        case errno.EADDRINUSE:
            another = f"--set {table}.port={port + 1 if port < 65_535 else port - 1}"
            return f"{where} is taken: another callmood may run; choose another by {another}"
        case errno.EACCES:
            return f"{where} may not be opened by this user; choose one from 1024 to 65535 for {table}.port"
        case _:
            return f"{where} cannot be opened: {error.strerror or error}; see {table}.host"
