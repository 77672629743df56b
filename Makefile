# Two commands do everything: `make demo` and `make test`. `make model` trains, evaluates and exports anew.
PYTHON ?= python3
CREMAD ?= ../shared/cremad
SYSTEM_PACKAGES = libportaudio2 libasound2-plugins pulseaudio pulseaudio-utils espeak-ng tmux openssl curl chromium chromium-driver \
	ffmpeg sip-tester baresip-core nginx-light \
	gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
SYSTEM_PACKAGES += $(if $(shell command -v npm),,nodejs npm)
NPM_PACKAGES = wscat@6.1.0 @asyncapi/specs@6.11.1 asterisk-audiosocket@0.1.0

.PHONY: demo test model bench pictures clean

demo: .venv/runtime
	.venv/bin/callmood demo

test: .venv/everything system-packages .venv/npm
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python -m pytest -n 2 --dist loadfile

model: .venv/everything
	.venv/bin/python -m train fit --cremad $(CREMAD)
	.venv/bin/python -m train export --cremad $(CREMAD)
	.venv/bin/python -m train evaluate --cremad $(CREMAD)

# The documentation's pictures of the dashboard, of the desktop page and of reports, and the example of a report.
pictures: .venv/everything
	.venv/bin/python -m monitor.dashboard --svg docs/pictures
	CALLMOOD_PICTURES=docs/pictures .venv/bin/python -m pytest tests/peers/test_desktop_page.py tests/peers/test_report_in_browser.py -k pictures
	.venv/bin/callmood report examples/calls/growing_anger.flac --out examples/reports/growing_anger.html

bench: .venv/everything
	.venv/bin/callmood bench

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/runtime: .venv/bin/python pyproject.toml
	.venv/bin/python -m pip install --quiet --editable .
	touch $@

.venv/everything: .venv/bin/python pyproject.toml
	.venv/bin/python -m pip install --quiet --editable '.[train,examples,test]'
	touch $@ .venv/runtime

# What the tests' peers need from the system: installed where we may, named where we may not.
.PHONY: system-packages
system-packages:
	@missing=$$(for name in $(SYSTEM_PACKAGES); do dpkg -s $$name >/dev/null 2>&1 || echo $$name; done); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
		echo "callmood: tests that need them will say so: install with apt-get install" $$missing; \
	fi

# What the tests' peers need from npm.
.venv/npm: .venv/bin/python Makefile
	@if command -v npm >/dev/null; then \
		npm install --silent --no-fund --no-audit --prefix $@ $(NPM_PACKAGES) && touch $@; \
	else \
		echo "callmood: tests that need $(NPM_PACKAGES) will say so: install npm"; \
	fi

clean:
	rm -rf .venv build dist
