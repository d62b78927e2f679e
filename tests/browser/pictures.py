#!/usr/bin/env python3
"""Pictures of every page at 1280 and 390 px, light and dark, and what a picture cannot say: no page may be wider
than its window, log an error, or ask another host for anything.

Needs chromium and chromium-driver, nothing else. Reads the line of JSON that `eider demo` prints:

    eider demo > /tmp/ready.json & python3 tests/browser/pictures.py /tmp/ready.json /tmp/pictures
"""

import base64
import json
import pathlib
import re
import subprocess
import sys
import urllib.parse
import urllib.request

DRIVER_PORT = 9515
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")


class Browser:
    """A headless browser, spoken to by the WebDriver protocol."""

    def __init__(self):
        self.driver = subprocess.Popen(
            ["chromedriver", f"--port={DRIVER_PORT}"], stdout=subprocess.PIPE, text=True
        )
        for line in self.driver.stdout:
            if "started successfully" in line:
                break
        options = {
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        answer = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{answer['sessionId']}"

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{DRIVER_PORT}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def cdp(self, command, **params):
        return self.call("POST", f"{self.session}/goog/cdp/execute", {"cmd": command, "params": params})

    def open(self, url):
        self.call("POST", f"{self.session}/url", {"url": url})

    def run(self, script):
        return self.call("POST", f"{self.session}/execute/sync", {"script": script, "args": []})

    def log(self, kind):
        return self.call("POST", f"{self.session}/se/log", {"type": kind})

    def shape(self, width, scheme):
        self.cdp(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, to):
        to.write_bytes(base64.b64decode(self.cdp("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def close(self):
        try:
            self.call("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait()


def foreign_requests(browser, own_host):
    for entry in browser.log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = urllib.parse.urlsplit(message["params"]["request"]["url"])
            if url.scheme in ("http", "https") and url.netloc != own_host:
                yield url.geturl()


def pages(browser, base):
    """Every page, with one order and every connection."""
    browser.open(f"{base}/orders")
    order = browser.run("return document.querySelector('#orders td.lead a')?.getAttribute('href')")
    browser.open(f"{base}/connections")
    connections = browser.run(
        "return [...document.querySelectorAll('#connections h2 a')].map(a => a.getAttribute('href'))"
    )
    new = browser.run("return [...document.querySelectorAll('.head a.button')].map(a => a.getAttribute('href'))")
    named = {"orders": "/orders", "waiting": "/orders?export_state=waiting", "nothing": "/orders?q=zzzz"}
    named |= {"order": order, "connections": "/connections", "settings": "/settings"}
    named |= {f"connection-{path.rsplit('/', 1)[1]}": path for path in connections}
    named |= {f"new-{path.rsplit('/', 1)[1]}": path for path in new}
    named |= {f"reconciliation-{path.rsplit('/', 1)[1]}": f"{path}/reconciliation" for path in connections}
    named |= {"parked": "/parked", "app": "/settings/bigcommerce-app", "addresses": "/orders/addresses"}
    named |= {"missing": "/orders/999999999", "login": "/login"}
    return {name: path for name, path in named.items() if path}


def main():
    ready = json.loads(pathlib.Path(sys.argv[1]).read_text().splitlines()[0])
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    base = ready["url"].rstrip("/")
    host = urllib.parse.urlsplit(base).netloc
    browser = Browser()
    problems = []
    try:
        browser.open(urllib.parse.urljoin(base, ready["login"]))
        browser.log("browser")
        for name, path in pages(browser, base).items():
            for width in WIDTHS:
                for scheme in SCHEMES:
                    browser.shape(width, scheme)
                    browser.open(base + path)
                    browser.picture(folder / f"{name}-{width}-{scheme}.png")
                    wide = browser.run("return document.documentElement.scrollWidth")
                    if wide > width:
                        problems.append(f"{path} is {wide} px wide in a window of {width} px")
            # A missing page answers 404, which the browser logs: that one is wanted.
            logged = [e["message"] for e in browser.log("browser") if e["level"] == "SEVERE"]
            problems += [f"{path}: {text}" for text in logged if not re.search(r" 404 ", text)]
            problems += [f"{path} asked {url}" for url in foreign_requests(browser, host)]
    finally:
        browser.close()
    print("\n".join(problems) or f"no problem; pictures in {folder}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
