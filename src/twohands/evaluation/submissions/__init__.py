"""Files for benchmark servers: `write_*` writes predictions, `validate` checks such a file before it is sent.

Writers and `validate` take the same `names`, in the order of the benchmark's list:

    ho3d, h2o3d   lines of evaluation.txt, "SEQUENCE/0000"
    h2o           (action, file name), see `h2o_names`
    dexycb        numbers of the images in the toolkit's data set
    hot3d         (sequence, frame, hand), hand 0 left, 1 right
    arctic        `Sample.id`, "s03/box_use_01/0/00010"

Every benchmark scores every frame: a hand that was not found must be filled in before writing (`fill_missing`).
`submission_of` returns names, recordings and hands for the test frames of a reader (`twohands submit`). Marks as in
`twohands.evaluation.benchmarks`: [V] read in a program of the benchmark's makers, [S] second-hand, [U] uncertain.
"""

from twohands.evaluation.submissions.arctic import ObjectPose, write_arctic
from twohands.evaluation.submissions.data_sets import Submission, fill_missing, submission_of
from twohands.evaluation.submissions.names import h2o_names
from twohands.evaluation.submissions.validate import KINDS, validate
from twohands.evaluation.submissions.writers import write_dexycb, write_h2o, write_h2o3d, write_ho3d, write_hot3d

__all__ = [
    "KINDS",
    "ObjectPose",
    "Submission",
    "fill_missing",
    "h2o_names",
    "submission_of",
    "validate",
    "write_arctic",
    "write_dexycb",
    "write_h2o",
    "write_h2o3d",
    "write_ho3d",
    "write_hot3d",
]
