FROM python:3.11-slim-bookworm AS build
WORKDIR /app
COPY . .
RUN python -m venv /venv \
 && if [ -f requirements.txt ]; then /venv/bin/pip install --no-cache-dir -r requirements.txt; fi \
 && if [ -f pyproject.toml ]; then /venv/bin/pip install --no-cache-dir .; fi

FROM python:3.11-slim-bookworm
WORKDIR /app
COPY --from=build /venv /venv
COPY --from=build /app /app
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PORT=8080
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["python", "${entry}"]
