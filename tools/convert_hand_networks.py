"""Convert the Apache-2.0 hand networks of the npm package `@mediapipe/hands` from TFLite to ONNX, and prove them equal.

    python tools/convert_hand_networks.py --out src/twohands/weights --names palm_lite landmark_full

The ONNX graph is written operator by operator (NCHW; batch size free for the landmark networks). Weights keep the
float16 of the original files, each followed by a Cast to float32 that ONNX Runtime folds when a session is created.

palm_*: `image` (1, 3, 192, 192), RGB in [0, 1] -> `boxes` (1, 2016, 18), pixels from the anchor: centre, width, height,
    seven key points; `scores` (1, 2016, 1), logits.
landmark_*: `crops` (N, 3, 224, 224), RGB in [0, 1] -> `landmarks` (N, 63), x, y, z in pixels of the crop;
    `present` (N, 1) and `right` (N, 1), probabilities; `relative` (N, 63), metres. landmark_full also gives its feature
    maps `stride_4` (N, 24, 56, 56), `stride_8` (N, 40, 28, 28) and `stride_16` (N, 112, 14, 14).

Needs the packages `onnx`, `tflite` (extra `tools`) and, for the proof, `ai-edge-litert`.
"""

import argparse
import json
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tflite
from onnx import TensorProto, helper, numpy_helper

PACKAGE = "@mediapipe/hands@0.4.1675469240"
CACHE = Path(__file__).resolve().parents[1] / "data" / "cache"
LOOSE_FILES = {"landmark_lite": "hand_landmark_lite.tflite", "landmark_full": "hand_landmark_full.tflite"}
TOLERANCE = 1e-4
PACKED_FILES = {"palm_lite": "palm_detection_lite.tflite", "palm_full": "palm_detection_full.tflite"}
INPUT_NAME = {"palm": "image", "landmark": "crops"}
OUTPUT_NAMES = {"palm": ("boxes", "scores"), "landmark": ("landmarks", "present", "right", "relative")}
FEATURE_MAPS = {"landmark_full": {113: "stride_4", 120: "stride_8", 141: "stride_16"}}
"""Tensors of the TFLite files that are outputs here too: the last map of each of these strides."""
CREDIT = f"Converted from npm {PACKAGE}. Copyright The MediaPipe Authors. Licensed under the Apache License 2.0."
NONE, RELU6 = tflite.ActivationFunctionType.NONE, tflite.ActivationFunctionType.RELU6
OPERATOR_NAMES = {value: key for key, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
DTYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}


def fetch_package() -> Path:
    """Return the package's archive in the cache, fetched by `npm pack` if it is missing."""
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / "mediapipe-hands-0.4.1675469240.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=CACHE, check=True)
    return archive


def read_package(archive: Path) -> dict[str, bytes]:
    """Return TFLite files by network name. The palm networks are in a packed file; its loader lists byte ranges."""
    with tarfile.open(archive) as package:

        def read(name: str) -> bytes:
            member = package.extractfile(f"package/{name}")
            if member is None:
                raise FileNotFoundError(f"{archive} holds no file {name}; pass the archive of npm {PACKAGE}")
            return member.read()

        networks = {name: read(file) for name, file in LOOSE_FILES.items()}
        packed = read("hands_solution_packed_assets.data")
        listing = re.search(r"loadPackage\((\{.*\})\);", read("hands_solution_packed_assets_loader.js").decode())
    if listing is None:
        raise ValueError(f"{archive} lists no packed files; pass the archive of npm {PACKAGE}")
    ranges = {Path(file["filename"]).name: (file["start"], file["end"]) for file in json.loads(listing[1])["files"]}
    for name, file in PACKED_FILES.items():
        start, end = ranges[file]
        networks[name] = packed[start:end]
    return networks


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after along one axis, by TensorFlow's SAME rule (the odd one goes after)."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Converter:
    """Converter of one TFLite graph to one ONNX graph; images become NCHW, other tensors keep their layout."""

    def __init__(self, tflite_file: bytes, name: str):
        self.kind = kind = name.split("_")[0]
        self.maps = FEATURE_MAPS.get(name, {})
        self.model: Any = tflite.Model.GetRootAsModel(tflite_file, 0)  # flatbuffer classes: every field may be None
        self.graph = self.model.Subgraphs(0)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.names: dict[int, str] = {self.graph.Inputs(0): INPUT_NAME[kind]}
        self.names |= {self.graph.Outputs(index): name for index, name in enumerate(OUTPUT_NAMES[kind])}
        self.names |= self.maps
        self.source: dict[int, int] = {}  # a dequantised tensor -> the float16 tensor it comes from

    def convert(self) -> onnx.ModelProto:
        """Return the whole network, checked by ONNX."""
        for index in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(index)
            code = self.model.OperatorCodes(operator.OpcodeIndex())
            kind = OPERATOR_NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            if kind not in TRANSLATIONS:
                raise NotImplementedError(f"operator {kind} of the TFLite file has no ONNX translation here")
            TRANSLATIONS[kind](self, operator, operator.InputsAsNumpy().tolist(), operator.Outputs(0))
        batch = 1 if self.kind == "palm" else "N"

        def declare(tensor: int) -> onnx.ValueInfoProto:
            shape = self.shape(tensor)
            tail = [shape[3], shape[1], shape[2]] if len(shape) == 4 else shape[1:]
            return helper.make_tensor_value_info(self.name(tensor), TensorProto.FLOAT, [batch, *tail])

        outputs = [declare(self.graph.Outputs(index)) for index in range(self.graph.OutputsLength())]
        outputs += [declare(tensor) for tensor in self.maps]
        graph = helper.make_graph(
            self.nodes, self.kind, [declare(self.graph.Inputs(0))], outputs, list(self.initializers.values())
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8, doc_string=CREDIT)
        onnx.checker.check_model(model, full_check=True)
        return model

    # Access to the TFLite file -------------------------------------------------------------------------------------

    def shape(self, tensor: int) -> list[int]:
        """Return the shape in the TFLite file, images (1, H, W, C)."""
        return self.graph.Tensors(tensor).ShapeAsNumpy().tolist()

    def constant(self, tensor: int) -> np.ndarray:
        """Return a constant tensor in its stored type; a dequantised one gives its float16 source."""
        tensor = self.source.get(tensor, tensor)
        described = self.graph.Tensors(tensor)
        stored = self.model.Buffers(described.Buffer()).DataAsNumpy()
        return stored.view(DTYPES[described.Type()]).reshape(self.shape(tensor))

    def options(self, operator: Any, kind: type) -> Any:
        """Return the operator's options, an instance of the flatbuffer class `kind`."""
        options, table = kind(), operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        return options

    # Pieces of the ONNX graph --------------------------------------------------------------------------------------

    def name(self, tensor: int) -> str:
        return self.names.get(tensor, f"t{tensor}")

    def add(self, kind: str, inputs: list[str], output: str, activation: int = NONE, **attributes) -> None:
        """Add one node, followed by the activation that TFLite had fused into it."""
        if activation not in (NONE, RELU6):
            raise NotImplementedError(f"fused activation {activation} of the TFLite file has no ONNX translation here")
        before = output if activation == NONE else f"{output}_linear"
        self.nodes.append(helper.make_node(kind, inputs, [before], **attributes))
        if activation == RELU6:
            limits = [self.store(np.float32(0), "zero"), self.store(np.float32(6), "six")]
            self.nodes.append(helper.make_node("Clip", [before, *limits], [output]))

    def store(self, values: np.ndarray | np.generic, name: str) -> str:
        """Store `values` in an initialiser and return its name."""
        self.initializers[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def weight(self, tensor: int, axes: tuple[int, ...] | None = None) -> str:
        """Return the name of a float16 weight's float32 values with reordered axes; they are written once."""
        name = f"w{self.source.get(tensor, tensor)}"
        if f"{name}_half" not in self.initializers:
            values = self.constant(tensor)
            half = self.store(values if axes is None else values.transpose(axes), f"{name}_half")
            self.add("Cast", [half], name, to=TensorProto.FLOAT)
        return name

    def padding(self, options: Any, image: int, kernel: tuple[int, int]) -> list[int]:
        """Return ONNX pads (top, left, bottom, right) of a convolution or pooling."""
        if options.Padding() == tflite.Padding.VALID:
            return [0, 0, 0, 0]
        _, height, width, _ = self.shape(image)
        top, bottom = same_padding(height, kernel[0], options.StrideH())
        left, right = same_padding(width, kernel[1], options.StrideW())
        return [top, left, bottom, right]

    # One method for each TFLite operator ---------------------------------------------------------------------------

    def dequantize(self, operator: Any, inputs: list[int], output: int) -> None:
        self.source[output] = inputs[0]

    def conv(self, operator: Any, inputs: list[int], output: int) -> None:
        self.convolve(inputs, output, self.options(operator, tflite.Conv2DOptions), (0, 3, 1, 2), groups=1)

    def depthwise_conv(self, operator: Any, inputs: list[int], output: int) -> None:
        channels = self.shape(output)[3]
        self.convolve(inputs, output, self.options(operator, tflite.DepthwiseConv2DOptions), (3, 0, 1, 2), channels)

    def convolve(self, inputs: list[int], output: int, options: Any, axes: tuple[int, ...], groups: int) -> None:
        image, kernel, bias = inputs
        _, height, width, _ = self.shape(kernel)
        self.add(
            "Conv",
            [self.name(image), self.weight(kernel, axes), self.weight(bias)],
            self.name(output),
            options.FusedActivationFunction(),
            strides=[options.StrideH(), options.StrideW()],
            pads=self.padding(options, image, (height, width)),
            group=groups,
        )

    def max_pool(self, operator: Any, inputs: list[int], output: int) -> None:
        options = self.options(operator, tflite.Pool2DOptions)
        kernel = (options.FilterHeight(), options.FilterWidth())
        pads = self.padding(options, inputs[0], kernel)
        strides = [options.StrideH(), options.StrideW()]
        self.add("MaxPool", [self.name(inputs[0])], self.name(output), kernel_shape=kernel, strides=strides, pads=pads)

    def prelu(self, operator: Any, inputs: list[int], output: int) -> None:
        """Write a x + (1 - a) max(x, 0) as two depthwise convolutions: ONNX Runtime keeps its fast image layout in
        them, while its PRelu leaves that layout and is slow (palm detection takes 13 ms instead of 18).
        """
        image, channels, name = self.name(inputs[0]), self.shape(output)[3], self.name(output)
        slope = self.weight(inputs[1], (2, 0, 1))
        shape = self.store(np.array([channels, 1, 1, 1]), f"shape_{name}")
        self.add("Reshape", [slope, shape], f"{name}_slope")
        self.add("Sub", [self.store(np.float32(1), "one"), f"{name}_slope"], f"{name}_rest")
        self.add("Relu", [image], f"{name}_positive")
        self.add("Conv", [image, f"{name}_slope"], f"{name}_all", group=channels)
        self.add("Conv", [f"{name}_positive", f"{name}_rest"], f"{name}_more", group=channels)
        self.add("Add", [f"{name}_all", f"{name}_more"], name)

    def sum(self, operator: Any, inputs: list[int], output: int) -> None:
        activation = self.options(operator, tflite.AddOptions).FusedActivationFunction()
        self.add("Add", [self.name(tensor) for tensor in inputs], self.name(output), activation)

    def mean(self, operator: Any, inputs: list[int], output: int) -> None:
        axes = self.store(np.array([2, 3]), "image_axes")
        self.add("ReduceMean", [self.name(inputs[0]), axes], self.name(output), keepdims=0)

    def fully_connected(self, operator: Any, inputs: list[int], output: int) -> None:
        features, matrix, bias = inputs
        activation = self.options(operator, tflite.FullyConnectedOptions).FusedActivationFunction()
        operands = [self.name(features), self.weight(matrix), self.weight(bias)]
        self.add("Gemm", operands, self.name(output), activation, transB=1)

    def logistic(self, operator: Any, inputs: list[int], output: int) -> None:
        self.add("Sigmoid", [self.name(inputs[0])], self.name(output))

    def pad(self, operator: Any, inputs: list[int], output: int) -> None:
        before, after = self.constant(inputs[1])[[0, 3, 1, 2]].T  # (N, H, W, C) -> (N, C, H, W)
        pads = self.store(np.concatenate([before, after]).astype(np.int64), f"pads{output}")
        self.add("Pad", [self.name(inputs[0]), pads], self.name(output))

    def resize(self, operator: Any, inputs: list[int], output: int) -> None:
        options = self.options(operator, tflite.ResizeBilinearOptions)
        if not options.HalfPixelCenters() or options.AlignCorners():
            raise NotImplementedError("only half-pixel-centred resizing has an ONNX translation here")
        _, height, width, channels = self.shape(output)
        sizes = self.store(np.array([1, channels, height, width]), f"sizes{output}")
        operands = [self.name(inputs[0]), "", "", sizes]
        self.add("Resize", operands, self.name(output), mode="linear", coordinate_transformation_mode="half_pixel")

    def reshape(self, operator: Any, inputs: list[int], output: int) -> None:
        self.add("Transpose", [self.name(inputs[0])], f"t{output}_nhwc", perm=(0, 2, 3, 1))
        shape = self.store(np.array(self.shape(output)), f"shape{output}")
        self.add("Reshape", [f"t{output}_nhwc", shape], self.name(output))

    def concatenation(self, operator: Any, inputs: list[int], output: int) -> None:
        axis = self.options(operator, tflite.ConcatenationOptions).Axis()
        self.add("Concat", [self.name(tensor) for tensor in inputs], self.name(output), axis=axis)


TRANSLATIONS = {
    "DEQUANTIZE": Converter.dequantize,
    "CONV_2D": Converter.conv,
    "DEPTHWISE_CONV_2D": Converter.depthwise_conv,
    "MAX_POOL_2D": Converter.max_pool,
    "PRELU": Converter.prelu,
    "ADD": Converter.sum,
    "MEAN": Converter.mean,
    "FULLY_CONNECTED": Converter.fully_connected,
    "LOGISTIC": Converter.logistic,
    "PAD": Converter.pad,
    "RESIZE_BILINEAR": Converter.resize,
    "RESHAPE": Converter.reshape,
    "CONCATENATION": Converter.concatenation,
}


def largest_error(onnx_file: Path, tflite_file: bytes, num_inputs: int = 5) -> float:
    """Return the largest difference of any output from the original, relative to that output's largest value."""
    from ai_edge_litert.interpreter import Interpreter  # pyright: ignore[reportMissingImports]

    interpreter = Interpreter(model_content=tflite_file)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    rng, worst = np.random.default_rng(0), 0.0
    for number in range(num_inputs):
        coarse = rng.random((1, 2 ** (number + 3), 2 ** (number + 3), 3), dtype=np.float32)  # blocks ... noise
        rows, columns = (np.arange(size) * coarse.shape[1] // size for size in given["shape"][1:3])
        image = coarse[:, rows][:, :, columns]
        interpreter.set_tensor(given["index"], image)
        interpreter.invoke()
        outputs = session.run(None, {session.get_inputs()[0].name: image.transpose(0, 3, 1, 2)})
        for output, details in zip(outputs, interpreter.get_output_details(), strict=False):
            original = interpreter.get_tensor(details["index"])
            worst = max(worst, float(np.abs(output - original).max() / np.abs(original).max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the ONNX files")
    parser.add_argument("--package", type=Path, help="archive of the npm package; fetched by `npm pack` without it")
    parser.add_argument("--names", nargs="+", default=[*PACKED_FILES, *LOOSE_FILES], help="networks to write")
    parser.add_argument("--no-check", action="store_true", help="do not compare with the original networks")
    arguments = parser.parse_args()
    networks = read_package(arguments.package or fetch_package())
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names:
        path = arguments.out / f"{name}.onnx"
        path.write_bytes(Converter(networks[name], name).convert().SerializeToString())
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB", end="")
        if not arguments.no_check:
            error = largest_error(path, networks[name])
            print(f"  largest relative error {error:.1e}", end="")
            if error > TOLERANCE:
                raise SystemExit(f"\n{name} differs from its original by {error:.1e}, more than {TOLERANCE}")
        print()


if __name__ == "__main__":
    main()
