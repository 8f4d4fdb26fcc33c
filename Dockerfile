# docker build -t diffmusic .
# docker run --rm -v "$PWD:/work" -v diffmusic:/cache diffmusic solve inpainting song.flac --gap 12:13
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN pip install --no-cache-dir -c /src/constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu '/src[app]' \
    && rm -rf /src
ENV HF_HOME=/cache
WORKDIR /work
ENTRYPOINT ["diffmusic"]
