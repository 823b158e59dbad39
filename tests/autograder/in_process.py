"""nbgrader's own commands in this process, as formgrader's buttons run them."""

from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from traitlets.config.loader import PyFileConfigLoader


class Formgrader:
    """What formgrader's buttons call, with a course's own configuration."""

    def __init__(self, root, **settings):
        loader = PyFileConfigLoader("nbgrader_config.py", path=str(root))
        self.config = loader.load_config()
        self.config.CourseDirectory.root = str(root)
        for section, values in settings.items():
            self.config[section].update(values)

    def _api(self):
        return NbGraderAPI(CourseDirectory(config=self.config), config=self.config)

    def release(self, assignment):
        done = self._api().generate_assignment(assignment, force=True, create=True)
        assert done["success"], done

    def feedback(self, assignment, student=None, force=False):
        done = self._api().generate_feedback(assignment, student, force=force)
        assert done["success"], done
        return done
