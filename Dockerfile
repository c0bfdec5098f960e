# One image for every service of Journeymesh; its argument picks which: `serve journeyapi`, `store migrate`, ….
#
#   docker build --target journeymesh -t journeymesh .        the product
#   docker build --target e2e -t journeymesh-e2e .            the black-box tests, which know nothing of the product
#   docker build --target guard -t journeymesh-guard .        the delivery controller, with git (optional)
#
# No feature of BuildKit is needed. The same commit gives the same file contents: dependencies come from the lock,
# every file gets the time of SOURCE_EPOCH_S, bytecode is checked by nobody and compiled once.
ARG PYTHON=python:3.11-slim-bookworm

# --- what is installed, in a stage that is thrown away ---------------------------------------------------------------
FROM ${PYTHON} AS tools
ARG UV_VERSION=0.13.9
RUN python3 -m pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PROJECT_ENVIRONMENT=/opt/journeymesh
WORKDIR /source
COPY pyproject.toml uv.lock README.md LICENSE ./

FROM tools AS e2e-installed
RUN uv sync --quiet --frozen --no-install-project --only-group e2e
COPY tests/e2e /opt/journeymesh/e2e
COPY deploy/image/settle /usr/local/bin/settle
ARG SOURCE_EPOCH_S=1735689600
RUN settle /opt/journeymesh ${SOURCE_EPOCH_S}

FROM tools AS journeymesh-installed
RUN uv sync --quiet --frozen --no-dev --no-install-project --extra client --extra postgres --extra services
COPY src ./src
RUN uv sync --quiet --frozen --no-dev --no-editable --extra client --extra postgres --extra services
COPY deploy/keycloak /opt/journeymesh/keycloak
COPY examples/mappings examples/rules /opt/journeymesh/examples/
COPY deploy/image/settle /usr/local/bin/settle
# The pass is compiled for the oldest CPU that nodes may have, not for the machine that builds.
ARG CPU_BASELINE=x86-64-v2
ENV NUMBA_CPU_NAME=${CPU_BASELINE} NUMBA_CPU_FEATURES=""
ARG SOURCE_EPOCH_S=1735689600
RUN settle /opt/journeymesh ${SOURCE_EPOCH_S} && PYTHONHASHSEED=0 /opt/journeymesh/bin/journeymesh warm \
 && settle /opt/journeymesh ${SOURCE_EPOCH_S}

FROM tools AS guard-installed
COPY src ./src
RUN uv sync --quiet --frozen --no-dev --no-editable --extra delivery
COPY deploy/image/settle /usr/local/bin/settle
ARG SOURCE_EPOCH_S=1735689600
RUN settle /opt/journeymesh ${SOURCE_EPOCH_S}

# --- what runs -------------------------------------------------------------------------------------------------------
FROM ${PYTHON} AS plain
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/site-packages/setuptools* \
      /usr/lib/python3/dist-packages/pip* /usr/lib/python3/dist-packages/setuptools* \
      /usr/local/bin/pip* /usr/bin/pip* \
 && echo 'journeymesh:x:10001:10001::/nonexistent:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'journeymesh:x:10001:' >> /etc/group
# Kernels that were compiled ahead are copied to XDG_CACHE_HOME: Numba takes no folder that it cannot write.
ENV PATH=/opt/journeymesh/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME=/tmp/.cache
WORKDIR /tmp
USER 10001:10001

FROM plain AS e2e
COPY --from=e2e-installed /opt/journeymesh /opt/journeymesh
WORKDIR /opt/journeymesh/e2e
# Short tracebacks: long ones would show the tokens that fixtures hold.
ENTRYPOINT ["pytest", "-p", "no:cacheprovider", "-q", "--tb=short"]

FROM plain AS guard
USER root
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends git gnupg openssh-client \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/ldconfig /var/log
USER 10001:10001
COPY --from=guard-installed /opt/journeymesh /opt/journeymesh
ENTRYPOINT ["journeymesh"]
CMD ["delivery", "guard", "--help"]

FROM plain AS journeymesh
COPY --from=journeymesh-installed /opt/journeymesh /opt/journeymesh
ARG CPU_BASELINE=x86-64-v2
ENV NUMBA_CPU_NAME=${CPU_BASELINE} NUMBA_CPU_FEATURES=""
EXPOSE 8080
ENTRYPOINT ["journeymesh"]
CMD ["--help"]
