"""People sign in to Airflow's own application by OpenID Connect; run in a process that has Airflow's settings.

`python -m tests.support.sign_in_by_oidc SUB...`: prints for each whether they were let in, as JSON. The provider is a
real one on loopback (PPS_OIDC_METADATA), the browser is ours.
"""

from __future__ import annotations

import json
import sys
from typing import Any

PUBLIC = "https://pps.example.org"


def main(subjects: list[str]) -> None:
    import requests
    from airflow.api_fastapi.app import create_app
    from starlette.testclient import TestClient

    app = create_app("core")
    said: dict[str, Any] = {}
    for sub in subjects:
        browser = TestClient(app, base_url=PUBLIC, follow_redirects=False)
        begun = browser.get("/auth/login/oidc")
        asked = begun.headers["location"]
        answered = requests.post(asked, data={"sub": sub}, allow_redirects=False, timeout=30)
        back = answered.headers["location"]
        ended = browser.get(back)
        token = browser.cookies.get("_token")
        me = browser.get("/ui/auth/me", headers={"Authorization": f"Bearer {token}"}) if token else None
        said[sub] = {"asked": asked, "back": back, "status": ended.status_code, "me": me.status_code if me else None}
    password = {"username": "pps-doctor", "password": "the-password-of-a-program"}
    said["password"] = TestClient(app, base_url=PUBLIC).post("/auth/token", json=password).status_code
    print("SAID " + json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1:])
